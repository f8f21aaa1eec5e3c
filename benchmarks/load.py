"""A load generator for webhooks: prebuilt signed requests over keep-alive connections.

    python -m benchmarks.load PORT --seconds 3 --connections 32

Prints a JSON object: requests, seconds, rate, p50 and p99 (milliseconds), failed.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import cast

import uvloop
from temporalio.client import Client

SECRET = "benchmark"
SIGNATURE = "X-Signature"
PATH = "/orders"
_MOST_A_SECOND = 12_000
"""Requests prepared for each second."""


def body_of(order: str) -> bytes:
    """An order of about 2 KiB, as a shop would send it."""
    lines = [
        {"sku": f"sku-{line:05}", "name": "a thing that somebody wants", "quantity": line % 5 + 1,
         "price": 19.99, "tags": ["new", "small"]}
        for line in range(16)
    ]  # fmt: skip
    order_of = {
        "id": order,
        "type": "order.created",
        "customer": "c-1",
        "express": True,
        "gift": False,
    }
    return json.dumps({**order_of, "note": None, "lines": lines}, separators=(",", ":")).encode()


def requests(prefix: str, amount: int) -> list[bytes]:
    """As many different requests, ready to be sent."""
    template = body_of("@@")
    prepared = []
    for number in range(amount):
        body = template.replace(b"@@", f"{prefix}-{number}".encode(), 1)
        proof = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"User-Agent: shop/1.0\r\nAccept: */*\r\n"
            f"{SIGNATURE}: {proof}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        prepared.append(head.encode() + body)
    return prepared


class _Sender(asyncio.Protocol):
    """One connection with one request under way."""

    def __init__(self, source: Iterator[bytes], until: float, taken: list[float]) -> None:
        self._source = source
        self._until = until
        self._taken = taken
        self._answer = b""
        self.failed = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        request = next(self._source, None)
        self._sent = time.perf_counter()
        if request is None or self._sent > self._until:
            self._transport.close()
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head = self._answer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._answer.lower().find(b"content-length: ")
        size = int(self._answer[at + 16 : self._answer.index(b"\r", at)])
        if len(self._answer) < head + 4 + size:
            return
        self._taken.append(time.perf_counter() - self._sent)
        self.failed += self._answer[9:10] != b"2"
        self._answer = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(None)


async def load(
    port: int, *, seconds: float, connections: int, prefix: str, amount: int, completed: str
) -> dict[str, float]:
    """Send for so long, or so many, and tell how it went.

    Args:
        port: Where to.
        seconds: For how long, if no amount is given.
        connections: How many requests are under way at a time.
        prefix: What the orders' IDs begin with.
        amount: How many.
        completed: A Temporal's address: the clock runs until all workflows there are completed.
    """
    source = iter(requests(prefix, amount or round(seconds * _MOST_A_SECOND)))
    seconds = 60.0 if amount else seconds
    client = await Client.connect(completed) if completed else None
    taken: list[float] = []
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    senders = [
        (await loop.create_connection(
            lambda: _Sender(source, began + seconds, taken), "127.0.0.1", port
        ))[1]
        for _ in range(connections)
    ]  # fmt: skip
    await asyncio.gather(*(sender.ended for sender in senders))
    if client is not None:
        await all_completed(client, prefix, amount)
    lasted = time.perf_counter() - began
    taken.sort()
    return {
        "requests": len(taken),
        "seconds": lasted,
        "rate": len(taken) / lasted,
        "p50": taken[len(taken) // 2] * 1000,
        "p99": taken[len(taken) * 99 // 100] * 1000,
        "failed": sum(sender.failed for sender in senders),
    }


async def all_completed(client: Client, prefix: str, amount: int) -> None:
    """Wait until so many workflows whose ID begins like this are completed."""
    query = f"WorkflowId STARTS_WITH 'order-{prefix}-' AND ExecutionStatus = 'Completed'"
    async with asyncio.timeout(120):
        while (await client.count_workflows(query)).count < amount:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--prefix", default="order")
    parser.add_argument("--amount", type=int, default=0)
    parser.add_argument("--completed", metavar="ADDRESS", default="")
    options = vars(parser.parse_args())
    print(json.dumps(uvloop.run(load(options.pop("port"), **options))))
