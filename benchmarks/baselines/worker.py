"""A worker by hand.

python -m benchmarks.baselines.worker TEMPORAL_ADDRESS TASK_QUEUE
"""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from benchmarks.workflows import TakeOrder


async def work(address: str, queue: str) -> None:
    """Work until told to end."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    async with Worker(client, task_queue=queue, workflows=[TakeOrder]):
        await told.wait()


if __name__ == "__main__":
    uvloop.run(work(*sys.argv[1:]))
