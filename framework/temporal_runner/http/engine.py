"""A listening socket and the connections that it takes, until it is told to close."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from email.utils import formatdate

from temporal_runner.http.connection import Connection
from temporal_runner.http.handover import make_server
from temporal_runner.http.messages import Application
from temporal_runner.http.sockets import most_connections

log = logging.getLogger("temporal_runner.http")

_LOOKS = 0.25
"""Seconds between two looks at what is due, where no bound is shorter than some seconds."""
_LATE = 0.5
"""Seconds after its time by which a look tells that this process was held up, not its clients."""
_BREATH = 0.5
"""Seconds to wait where no connection can be accepted."""
_QUIET = 60.0
"""Seconds between two warnings of a port."""
_FULL = "%d connections are open, further ones are refused"

_open: set[Engine] = set()
"""Those that are open: descriptors are the process's, and each has its share of them."""


class Engine:
    """Serves one application on one socket.

    Attributes:
        application: Answers each request.
        keep_alive: Seconds after which an idle connection is closed.
        header_timeout: Seconds that a request's head may take.
    """

    def __init__(
        self,
        application: Application,
        *,
        keep_alive: float,
        header_timeout: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Open nothing yet.

        Args:
            application: Answers each request.
            keep_alive: Seconds after which an idle connection is closed.
            header_timeout: Seconds that a request's head may take.
            tls: Serve HTTPS by this context.
        """
        self.application = application
        self.keep_alive = keep_alive
        self.header_timeout = header_timeout
        self._tls = tls
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._looking: asyncio.TimerHandle | None = None
        self._next_look = 0.0
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._arriving: dict[Connection, asyncio.Task[None]] = {}
        """Those that came and are not made yet: by TLS that may take a time."""
        self._closing = False
        self._told = float("-inf")
        self._second = 0
        self._date = b""

    def open(self, listening: socket.socket) -> None:
        """Take connections from a socket."""
        self._listening = listening
        _open.add(self)
        self._accepting = asyncio.create_task(self._accept(listening))

    async def close(self, within: float) -> None:
        """Take no more connections, and answer what those have asked that were taken.

        Args:
            within: Seconds that this may take; what is not answered then is cancelled.
        """
        if self._listening is None or self._accepting is None:
            return
        # What is accepted by now is served: a task that is cancelled would drop it.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().remove_reader(self._listening)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._accepting.cancel()
        await asyncio.wait({self._accepting})
        self._listening.close()
        _open.discard(self)
        if arriving := list(self._arriving.values()):
            if self._tls is not None:
                for one in arriving:
                    one.cancel()
            await asyncio.wait(arriving)
        self._closing = True
        for connection in list(self._connections):
            connection.finish()
        try:
            async with asyncio.timeout(within):
                await self._empty.wait()
        except TimeoutError:
            log.warning("%d connections did not end within %g s", len(self._connections), within)
            for connection in list(self._connections):
                connection.abort()
            await self._empty.wait()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        server = make_server()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                self._tell("cannot take connections: %s", error)
                await asyncio.sleep(_BREATH)
                continue
            most = most_connections(len(_open))
            if len(self._connections) + len(self._arriving) > most + most // 8:
                accepted.close()  # there is no descriptor to spare for telling it why
                self._tell(_FULL, most)
                continue
            one = Connection(self, server)
            self._arriving[one] = asyncio.create_task(self._arrive(one, accepted))

    async def _arrive(self, one: Connection, accepted: socket.socket) -> None:
        # Who does not shake hands, or goes away meanwhile, never was there.
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: one,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self.header_timeout if self._tls else None,
            )
        self._arriving.pop(one, None)

    def _tell(self, text: str, *values: object) -> None:
        """A warning, once in a while."""
        now = asyncio.get_running_loop().time()
        if now - self._told > _QUIET and self._listening is not None:
            self._told = now
            log.warning(f"port %s: {text}", self._listening.getsockname()[1], *values)

    # For its connections.

    def enter(self, one: Connection) -> str:
        """A connection is there; why it is not welcome, or empty."""
        self._arriving.pop(one, None)
        self._connections.add(one)
        self._empty.clear()
        if self._looking is None:
            self._next_look = asyncio.get_running_loop().time()
            self._look()
        if self._closing:
            return "the port is closing"
        most = most_connections(len(_open))
        if len(self._connections) <= most:
            return ""
        self._tell(_FULL, most)
        return "too many connections"

    def leave(self, one: Connection) -> None:
        """It is gone."""
        self._connections.discard(one)
        if not self._connections:
            self._empty.set()
            if self._looking is not None:
                self._looking.cancel()
                self._looking = None

    def date(self) -> bytes:
        """The header Date, written once a second."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._date = formatdate(now, usegmt=True).encode()
        return self._date

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        # A loop that was held up runs its timers before it reads what came meanwhile: a client
        # would be told that it sent nothing, while its request waits. It is read before the next.
        if now - self._next_look < _LATE:
            for one in [one for one in self._connections if one.wire.due <= now]:
                one.expire()
        self._next_look = now + min(_LOOKS, self.header_timeout / 4, self.keep_alive / 4)
        self._looking = loop.call_at(self._next_look, self._look)
