"""What the Azure tests' runners run: a workflow that reads the blob it was started for."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow


@workflow.defn
class ReadBlob:
    """Reads its blob by an activity, and returns the content."""

    @workflow.run
    async def run(self, blob: dict[str, Any]) -> str:
        return await workflow.execute_activity(
            read_blob,
            args=[blob["container"], blob["blob"]],
            start_to_close_timeout=timedelta(seconds=20),
        )


@activity.defn
async def read_blob(container: str, name: str) -> str:
    """Of the account whose connection string is in the environment."""
    from azure.storage.blob.aio import BlobClient

    account = os.environ["UPLOADS_CONNECTION_STRING"]
    async with BlobClient.from_connection_string(account, container, name) as blob:
        download = await blob.download_blob()
        return (await download.readall()).decode()


@workflow.defn
class Noted:
    """Is there, and done: one for each blob."""

    @workflow.run
    async def run(self, blob: str) -> str:
        return blob


@workflow.defn
class Slow:
    """Takes its time for each update."""

    def __init__(self) -> None:
        self._updates = 0

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self._updates > 0)
        return self._updates

    @workflow.update
    async def process(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._updates += 1
