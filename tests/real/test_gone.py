"""A server that is gone without a word: packets to it are lost, and nothing says so."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from temporal_runner.errors import TransientError
from temporal_runner.runtime.connection.target import check_usable
from tests.real.impostors import forward_to, serving
from tests.support import TemporalServer

Figure = Callable[[str, object], None]


@contextmanager
def silent_port(port: int) -> Iterator[None]:
    """A port that answers no connect: its queue is full, and what comes is dropped."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield
        for one in waiting:
            one.close()


async def test_a_probe_ends_in_time_while_the_sdk_connects_anew(
    temporal_server: TemporalServer, figure: Figure
) -> None:
    """The SDK's time-out of a call does not run meanwhile: a killed container took it 80 s."""
    async with serving(forward_to(temporal_server.address)) as address:
        client = await Client.connect(address)
        await check_usable(client)
    took = []
    with silent_port(int(address.rpartition(":")[2])):
        for _ in range(3):  # the first may still be told that its connection is closed
            began = time.monotonic()
            with pytest.raises((TransientError, RPCError)) as raised:
                await check_usable(client)
            took.append(time.monotonic() - began)
    figure("probes ended after, s", [round(seconds, 1) for seconds in took])
    assert max(took) < 8
    assert "no answer within 4s" in str(raised.value)
