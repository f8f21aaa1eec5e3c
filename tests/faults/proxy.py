"""A TCP proxy before a real server, whose network is as bad as a test says.

It refuses, resets, stalls, slows down and loses one direction, for new connections and for those
that are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["to server", "from server"]
_CHUNK = 16_384


@dataclass(frozen=True, slots=True)
class Network:
    """How the network behaves.

    Attributes:
        refuses: New connections are refused; those that are there stay.
        stalls: New connections are accepted and nothing moves, on the old ones neither.
        loses: What goes in this direction vanishes: the connection is half open.
        rate: Bytes a second and direction; 0 is no limit.
        latency: Seconds more in each direction.
    """

    refuses: bool = False
    stalls: bool = False
    loses: Direction | None = None
    rate: float = 0.0
    latency: float = 0.0


GOOD = Network()


class _Connection:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.lost_bytes = False

    def reset(self) -> None:
        """An RST on both sides: the other ends fail at once."""
        for writer in self.writers:
            raw: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                # Closing with a linger time of 0 sends RST instead of FIN.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Stands at a port of its own; runs in a thread of its own, whatever the test's loop does.

    Attributes:
        port: Where clients connect to.
        connections: How many connections it has accepted so far.
    """

    def __init__(self, behind: int, *, port: int) -> None:
        """Open nothing yet.

        Args:
            behind: The real server's port, on loopback.
            port: The proxy's own.
        """
        self.port = port
        self.connections = 0
        self._behind = behind
        self._network = GOOD
        self._changed = asyncio.Event()
        self._listening: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # What a test does to the network.

    def behave(self, network: Network = GOOD) -> None:
        """Behave so from now on, on the connections that are there too."""
        self._do(self._behave(network))

    def reset(self) -> None:
        """Reset every connection that is there."""
        self._do(self._reset())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    # In the thread.

    async def _listen(self) -> None:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _unlisten(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def _close(self) -> None:
        await self._unlisten()
        await self._reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _behave(self, network: Network) -> None:
        before, self._network = self._network, network
        if network.refuses:
            await self._unlisten()
        elif self._listening is None:
            await self._listen()
        if before.loses and not network.loses:
            # What was lost does not come again: such a connection can only end.
            for connection in [one for one in self._open if one.lost_bytes]:
                connection.reset()
        self._changed.set()
        self._changed = asyncio.Event()

    async def _reset(self) -> None:
        for connection in list(self._open):
            connection.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        connection = _Connection(writer)
        self._open.add(connection)
        try:
            await self._moving()
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._behind)
            connection.writers.append(server_writer)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(connection, reader, server_writer, "to server"))
                pumps.create_task(self._pump(connection, server_reader, writer, "from server"))
        except* OSError:
            connection.reset()
        except* asyncio.CancelledError:
            connection.reset()
        finally:
            self._open.discard(connection)
            self._tasks.discard(task)
            for one in connection.writers:
                one.close()

    async def _moving(self) -> None:
        while self._network.stalls:
            await self._changed.wait()

    async def _pump(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
    ) -> None:
        while data := await reader.read(_CHUNK):
            await self._moving()
            network = self._network
            if network.loses == direction:
                connection.lost_bytes = True
                continue
            if network.latency or network.rate:
                await asyncio.sleep(
                    network.latency + (len(data) / network.rate if network.rate else 0)
                )
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
