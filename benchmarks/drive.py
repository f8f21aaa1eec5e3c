"""Starts workflows 32 at a time by the SDK alone, and waits for their ends where that is asked for.

    python -m benchmarks.drive ADDRESS --seconds 3              the raw SDK loop
    python -m benchmarks.drive ADDRESS --amount 300 --queue Q   until all are completed

Prints a JSON object: requests, seconds, rate, p50 and p99 (milliseconds, of the starts).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from itertools import count

import uvloop
from temporalio.client import Client

from benchmarks.load import all_completed, body_of
from benchmarks.workflows import TASK_QUEUE

IN_FLIGHT = 32


async def drive(
    address: str, *, prefix: str, queue: str, workflow: str, seconds: float, amount: int
) -> dict[str, float]:
    """Start as many as come in a time, or so many and see them completed."""
    client = await Client.connect(address)
    order = json.loads(body_of(prefix))
    numbers = count()
    taken: list[float] = []
    began = time.perf_counter()

    async def one_after_the_other() -> None:
        for number in numbers:
            sent = time.perf_counter()
            if (amount and number >= amount) or (not amount and sent - began > seconds):
                return
            await client.start_workflow(
                workflow, order, id=f"order-{prefix}-{number}", task_queue=queue
            )
            taken.append(time.perf_counter() - sent)

    await asyncio.gather(*(one_after_the_other() for _ in range(IN_FLIGHT)))
    if amount:
        await all_completed(client, prefix, amount)
    lasted = time.perf_counter() - began
    taken.sort()
    return {
        "requests": len(taken),
        "seconds": lasted,
        "rate": len(taken) / lasted,
        "p50": taken[len(taken) // 2] * 1000,
        "p99": taken[len(taken) * 99 // 100] * 1000,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--queue", default=TASK_QUEUE)
    parser.add_argument("--workflow", default="TakeOrder")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--amount", type=int, default=0)
    options = vars(parser.parse_args())
    print(json.dumps(uvloop.run(drive(options.pop("address"), **options))))
