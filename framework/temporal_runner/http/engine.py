"""A listening socket and the connections that it takes, until it is told to close."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from email.utils import formatdate

from temporal_runner.http import connection
from temporal_runner.http.connection import Connection
from temporal_runner.http.messages import Application

log = logging.getLogger("temporal_runner.serving")

_LOOKS = 0.25
"""Seconds between two looks at what is due, where no bound is shorter than some seconds."""
_LATE = 0.5
"""Seconds after its time by which a look tells that this process was held up, not its clients."""


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
        self._server: asyncio.Server | None = None
        self._listening: socket.socket | None = None
        self._closing = False
        self._second = 0
        self._date = b""

    async def open(self, listening: socket.socket) -> None:
        """Take connections from a socket."""
        self._listening = listening
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self),
            sock=listening,
            ssl=self._tls,
            ssl_handshake_timeout=self.header_timeout if self._tls else None,
        )

    async def close(self, within: float) -> None:
        """Take no more connections, and answer what those have asked that were taken.

        Args:
            within: Seconds that this may take; what is not answered then is cancelled.
        """
        if self._server is None or self._listening is None:
            return
        # A connection that asyncio has accepted, but made no transport for when its server closes,
        # is neither served nor closed: let it take no more, and make those transports first.
        with contextlib.suppress(RuntimeError, NotImplementedError):  # uvloop needs none of it
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._closing = True
        self._server.close()
        for one in list(self._connections):
            one.finish()
        try:
            async with asyncio.timeout(within):
                await self._empty.wait()
        except TimeoutError:
            log.warning("%d connections did not end within %g s", len(self._connections), within)
            for one in list(self._connections):
                one.abort()
            await self._empty.wait()

    # For its connections.

    def enter(self, one: Connection) -> str:
        """A connection is there; why it is not welcome, or empty."""
        self._connections.add(one)
        self._empty.clear()
        if self._looking is None:
            self._next_look = asyncio.get_running_loop().time()
            self._look()
        if self._closing:
            return "the port is closing"
        too_many = len(self._connections) > connection.MAX_CONNECTIONS
        return "too many connections" if too_many else ""

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
            for one in [one for one in self._connections if one.due <= now]:
                one.expire()
        self._next_look = now + min(_LOOKS, self.header_timeout / 4, self.keep_alive / 4)
        self._looking = loop.call_at(self._next_look, self._look)
