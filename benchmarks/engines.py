"""The engines behind the contenders: the stub, and a real dev server in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from temporalio.client import Client
from temporalio.service import RPCError

from benchmarks.processes import EVERYWHERE, Process, free_port, module, process, wait_for_port
from temporal_runner.runtime.connection.devserver import find_temporal_binary


@contextlib.contextmanager
def stub(*, on: set[int] = EVERYWHERE) -> Iterator[str]:
    """The engine that accepts every start at once; its address."""
    port = free_port()
    with module("stub_engine", port, on=on) as one:
        wait_for_port(port, one)
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def started(port: int) -> Iterator[Process]:
    """A real Temporal in memory, just started."""
    binary = find_temporal_binary()
    if binary is None:
        raise RuntimeError("there is no `temporal` here: make setup")
    options = ["--headless", "--ip", "127.0.0.1", "--port", port, "--log-level", "never"]
    with process(binary, "server", "start-dev", *options) as one:
        yield one


@contextlib.contextmanager
def dev_server() -> Iterator[str]:
    """A real Temporal in memory; its address."""
    port = free_port()
    with started(port):
        wait_serving(f"127.0.0.1:{port}")
        yield f"127.0.0.1:{port}"


def wait_serving(address: str) -> None:
    """Wait until the server answers that it is SERVING."""
    asyncio.run(_serving(address))


async def _serving(address: str) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(RuntimeError, RPCError):
                client = await Client.connect(address)
                if await client.service_client.check_health():
                    return
            await asyncio.sleep(0.01)
