"""An HTTP server as its user sees it: an application on a port, alone there or at its own path."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from temporal_runner.http.messages import Application
from temporal_runner.http.port import Mounted, Port
from temporal_runner.http.sockets import Settings

_ports: dict[tuple[str, int], Port] = {}
"""The open ports that may be shared."""
_paths: dict[tuple[str, int], set[str]] = defaultdict(set)
"""The paths that somebody answers at, or will, or did: where nobody does now a sender is asked to
come again, while a 404 would tell it never to."""


class HttpServer:
    """One application on one port: HTTP/1.1, each request answered by a coroutine.

    With a `path` it answers there and nowhere else, and shares the port with other servers of this
    process that have other paths on it. Requests in flight are answered when it stops.

    Attributes:
        host: The address that it listens at.
        port: The port; where 0 was asked for, the one that was picked once it has started.
    """

    def __init__(
        self,
        application: Application,
        *,
        host: str,
        port: int,
        path: str | None = None,
        keep_alive: float = 5.0,
        header_timeout: float = 10.0,
        drain: float = 10.0,
        cert_path: str = "",
        key_path: str = "",
        client_ca_path: str = "",
    ) -> None:
        """Describe the server; `start` opens the port. From now on its path is known there.

        Args:
            application: Answers each request.
            host: The address to listen at.
            port: The port; 0 picks a free one, which nobody else shares.
            path: Where the application answers; None is everywhere, on a port of its own.
            keep_alive: Seconds after which an idle connection is closed.
            header_timeout: Seconds that a request's head may take.
            drain: Seconds that `stop` gives requests in flight.
            cert_path: Serve HTTPS with this certificate chain (PEM).
            key_path: Its private key (PEM), where it is not in the same file.
            client_ca_path: Let in only clients with a certificate of this authority (PEM).
        """
        self.host = host
        self.port = port
        self._asked = port
        self._application = application
        self._path = path
        self._settings = Settings(
            keep_alive, header_timeout, drain, cert_path, key_path, client_ca_path
        )
        self._at: Port | None = None
        if path is not None and port:
            _paths[host, port].add(path)

    async def start(self) -> None:
        """Open the port and begin to answer.

        Raises:
            PermanentError: The port is in use, or may not be opened.
        """
        mounted = Mounted(self._application)
        while True:
            known = _paths[self.host, self._asked] if self._asked else ()
            at = self._shared() or Port(self.host, self._asked, self._settings, known)
            if self._path is not None and self._asked:
                _ports[self.host, self._asked] = at
            if await at.join(self._path, mounted, self._settings):
                break
        self._at = at
        self.port = at.port

    async def wait(self) -> None:
        """Return when the port has closed."""
        if self._at is not None:
            await self._at.ended()

    async def stop(self) -> None:
        """Let the requests in flight finish; the port closes with its last application."""
        if self._at is None:
            return
        at, self._at = self._at, None
        await at.leave(self._path)

    def _shared(self) -> Port | None:
        at = _ports.get((self.host, self._asked)) if self._path is not None else None
        usable = at is not None and not at.closed and at.loop is asyncio.get_running_loop()
        return at if usable else None
