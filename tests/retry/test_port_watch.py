"""Waiting for a port to open between two attempts: real ports, and waits in simulated time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain, repeat

import pytest

from temporal_runner.errors import TransientError
from temporal_runner.retry.backoff import Backoff, NoOptions, Timing, constant
from temporal_runner.retry.connector import REFUSED, Connector, Diagnosis, RetryOptions
from temporal_runner.retry.port_watch import PortWatch, look_at
from tests.support import free_port

MINUTE = RetryOptions(Backoff("constant", constant, Timing(60, 60), NoOptions(), "none"))


@asynccontextmanager
async def listening(port: int) -> AsyncIterator[None]:
    """Something accepts connections at a port."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    async with server:
        yield


async def connect(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def connector(port: int, options: RetryOptions = MINUTE) -> Connector:
    return Connector("the server", options, look=look_at(f"127.0.0.1:{port}"))


async def test_a_look_tells_whether_a_port_is_open() -> None:
    """A TCP connect, and nothing is sent."""
    port = free_port()
    look = look_at(f"127.0.0.1:{port}")
    assert not await look()
    async with listening(port):
        assert await look()
    assert not await look()
    assert not await look_at("no port")()


async def test_a_look_asks_at_each_address_of_a_name() -> None:
    """localhost is ::1 and 127.0.0.1; the server may be at the second."""
    port = free_port()
    async with listening(port):
        assert await look_at(f"localhost:{port}")()


async def test_an_attempt_follows_as_soon_as_the_port_opens() -> None:
    """A wait of a minute ends when the server comes."""
    port = free_port()
    began = time.monotonic()
    connecting = asyncio.create_task(connector(port).call(lambda: connect(port)))
    await asyncio.sleep(0.5)
    assert not connecting.done()
    async with listening(port):
        await asyncio.wait_for(connecting, 30)
    assert time.monotonic() - began < 40


async def test_a_port_that_opens_before_it_serves_is_tried_again_soon() -> None:
    """The first attempts after the port opened do not wait for the long delay either."""
    port = free_port()
    answers = chain([TransientError("starting")] * 3, repeat(None))

    async def attempt() -> None:
        await connect(port)
        if error := next(answers):
            raise error

    connecting = asyncio.create_task(connector(port).call(attempt))
    await asyncio.sleep(0.3)
    async with listening(port):
        await asyncio.wait_for(connecting, 30)


class Simulated:
    """A clock that jumps, and a port that is open at given times."""

    def __init__(self, *opens: float, is_open: bool = False) -> None:
        self.now = 0.0
        self.looks = 0
        self._opens = opens
        self._is_open = is_open

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def look(self) -> bool:
        self.looks += 1
        return self._is_open or any(opens <= self.now < opens + 1 for opens in self._opens)

    def waking(self) -> PortWatch:
        return PortWatch(self.look, self.clock, self.sleep)


async def test_a_port_that_is_open_all_along_ends_no_wait() -> None:
    """A server that answers and refuses, or a proxy, is left alone for the whole delay."""
    time = Simulated(is_open=True)
    await time.waking().wait(30, closed=False)
    assert time.now == pytest.approx(30)


async def test_a_port_that_opens_ends_the_wait() -> None:
    """Within a few looks of its opening."""
    time = Simulated(12)
    await time.waking().wait(30, closed=False)
    assert 12 <= time.now < 13


async def test_waits_are_not_cut_short_for_ever() -> None:
    """A port that opens and is closed to the attempt, again and again, gets its delays."""
    time = Simulated(is_open=True)
    waking = time.waking()
    for _ in range(1000):
        if waking.soon() is None:
            await waking.wait(30, closed=True)
    assert time.now > 30 * 800
    waking.reset()
    before = time.now
    await waking.wait(30, closed=True)
    assert time.now < before + 1


async def test_looks_are_few() -> None:
    """About ten a second at most, fewer in long waits."""
    time = Simulated()
    await time.waking().wait(10, closed=True)
    assert time.looks < 150
    time = Simulated()
    await time.waking().wait(300, closed=True)
    assert time.looks < 150


@pytest.mark.parametrize("on", [True, False])
async def test_a_fleet_switches_it_off(on: bool) -> None:
    """Without `wake_on_port` no port is looked at."""
    time = Simulated(3)
    options = RetryOptions(MINUTE.backoff, wake_on_port=on)
    connecting = Connector(
        "the server",
        options,
        diagnose=lambda error: Diagnosis(REFUSED),
        clock=time.clock,
        sleep=time.sleep,
        look=time.look,
    )
    await connecting.back_off_after(TransientError("refused"))
    assert bool(time.looks) is on
    assert (time.now < 5) is on
