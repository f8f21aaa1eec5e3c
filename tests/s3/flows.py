"""What the S3 tests' runners run: a workflow that reads the object it was started for."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow


@activity.defn
def read_object(bucket: str, key: str) -> str:
    """The object's content."""
    import boto3  # type: ignore[import-untyped]

    client = boto3.client("s3", endpoint_url=os.environ["S3_URL"])
    try:
        return str(client.get_object(Bucket=bucket, Key=key)["Body"].read().decode())
    finally:
        client.close()


@workflow.defn
class ReadObject:
    """Reads the object of an event."""

    @workflow.run
    async def run(self, event: dict[str, Any]) -> str:
        """Returns its content."""
        return await workflow.execute_activity(
            read_object,
            args=[event["bucket"]["name"], event["object"]["key"]],
            start_to_close_timeout=timedelta(seconds=10),
        )


@workflow.defn
class NoteObject:
    """Ends at once."""

    @workflow.run
    async def run(self, event: dict[str, Any]) -> str:
        """Returns the object's key."""
        return str(event["object"]["key"])
