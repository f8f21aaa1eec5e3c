"""Empties a queue as fast as it can and does nothing else: what an emulator and an SDK give.

python -m benchmarks.baselines.drain sqs QUEUE_URL
python -m benchmarks.baselines.drain azure CONNECTION_STRING QUEUE
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop
from aiobotocore.session import get_session  # type: ignore[import-untyped]
from azure.storage.queue.aio import QueueClient

_RECEIVERS = 4
_PAUSE = 0.1
"""Seconds after an empty answer."""


async def drain_sqs(url: str) -> None:
    """Receive ten and delete them in one call."""
    endpoint = url.rpartition("/")[0].rpartition("/")[0]
    async with get_session().create_client(
        "sqs", region_name="eu-west-1", endpoint_url=endpoint
    ) as client:

        async def receiver() -> None:
            while True:
                answer = await client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
                messages = answer.get("Messages", [])
                if not messages:
                    await asyncio.sleep(_PAUSE)
                    continue
                entries = [
                    {"Id": str(place), "ReceiptHandle": one["ReceiptHandle"]}
                    for place, one in enumerate(messages)
                ]
                await client.delete_message_batch(QueueUrl=url, Entries=entries)

        await asyncio.gather(*(receiver() for _ in range(_RECEIVERS)))


async def drain_azure(connection_string: str, queue: str) -> None:
    """Receive 32 and delete them at the same time: there is no call for several."""
    async with QueueClient.from_connection_string(connection_string, queue) as client:

        async def receiver() -> None:
            while True:
                pages = client.receive_messages(messages_per_page=32).by_page()
                page: Any = await anext(pages, None)
                messages = [message async for message in page] if page is not None else []
                if not messages:
                    await asyncio.sleep(_PAUSE)
                    continue
                await asyncio.gather(*(client.delete_message(message) for message in messages))

        await asyncio.gather(*(receiver() for _ in range(_RECEIVERS)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["sqs", _url]:
            uvloop.run(drain_sqs(_url))
        case ["azure", _account, _name]:
            uvloop.run(drain_azure(_account, _name))
