"""One open port, with the applications that answer there: each at a path, or one at all paths."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from temporal_runner.errors import PermanentError
from temporal_runner.serving.problem import problem

if TYPE_CHECKING:
    from temporal_runner.serving.engine import Engine

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("temporal_runner.serving")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a port is served; those who share one have the same.

    Attributes:
        keep_alive: Seconds after which an idle connection is closed.
        header_timeout: Seconds that a request's head may take.
        drain: Seconds that requests in flight get when the port closes.
        cert_path: The server's certificate chain (PEM); empty for plain HTTP.
        key_path: Its private key (PEM).
        client_ca_path: Only clients with a certificate of this authority (PEM) are let in.
    """

    keep_alive: float
    header_timeout: float
    drain: float
    cert_path: str
    key_path: str
    client_ca_path: str


class Mounted:
    """An application at a path of a port, which knows what of it is in flight."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, in the task that the connection made for it."""
        self._in_flight += 1
        self._idle.clear()
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def drained(self, within: float) -> None:
        """Wait until nothing is in flight, so many seconds at most."""
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            log.warning("%d requests were not answered within %g s", self._in_flight, within)


class Port:
    """A port, open from its first application to its last.

    Attributes:
        port: Its number; where 0 was asked for, the one that was picked.
    """

    def __init__(self, host: str, port: int, settings: Settings, known: Collection[str]) -> None:
        self.host = host
        self.port = port
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self._known = known
        self._mounted: dict[str | None, Mounted] = {}
        self._changing = asyncio.Lock()
        self._engine: Engine | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """It is open no more, and will not be again."""
        return self._closed or (self._task is not None and self._task.done())

    async def join(self, path: str | None, mounted: Mounted, settings: Settings) -> bool:
        """Answer at a path with this application; the first one opens the port.

        Args:
            path: Where; None is everywhere.
            mounted: The application.
            settings: How it wants to be served: as the others here are.

        Returns:
            False where the port closed meanwhile: another one is needed.

        Raises:
            PermanentError: The port cannot be opened, or the path or the settings are another's.
        """
        async with self._changing:
            if self.closed:
                return False
            if path in self._mounted:
                raise PermanentError(
                    f"another listener has {self.host}:{self.port}{path or ''} already",
                    next_step="give one of them another path or port",
                )
            if settings != self.settings:
                raise PermanentError(
                    f"the listeners that share {self.host}:{self.port} do not share its settings",
                    next_step="give them the same `tls`, or ports of their own",
                )
            if self._task is None:
                try:
                    await self._open()
                except BaseException:
                    self._closed = True
                    raise
            self._mounted[path] = mounted
            return True

    async def leave(self, path: str | None) -> None:
        """Let what is in flight at a path be answered; the last one closes the port."""
        async with self._changing:
            if len(self._mounted) > 1:
                mounted = self._mounted.pop(path)
            else:
                mounted = None
                await self._close()
        if mounted is not None:
            await mounted.drained(self.settings.drain)

    async def ended(self) -> None:
        """Return, or raise, when the server has ended."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        mounted = self._mounted.get(scope["path"]) or self._mounted.get(None)
        if mounted is not None:
            await mounted(scope, receive, send)
        elif scope["path"] in self._known:
            detail = "the listener of this path is not ready"
            await answer(send, HTTPStatus.SERVICE_UNAVAILABLE, detail, (b"retry-after", b"5"))
        else:
            await answer(send, HTTPStatus.NOT_FOUND, "nothing listens at this path")

    async def _open(self) -> None:
        from temporal_runner.serving.engine import Engine

        settings = self.settings
        self._engine = Engine(
            self._answer,
            keep_alive=settings.keep_alive,
            header_timeout=settings.header_timeout,
            drain=settings.drain,
            tls=_tls(settings),
        )
        listening = _listen(self.host, self.port)
        self.port = listening.getsockname()[1]
        self._task = asyncio.create_task(
            self._engine.run_at(listening), name=f"http {self.host}:{self.port}"
        )
        while not self._engine.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.005)

    async def _close(self) -> None:
        # Not closed before it is: who wants to open it anew has to wait for that.
        try:
            if self._engine is not None and self._task is not None:
                self._engine.stop()
                await self._task
        finally:
            self._closed = True


async def answer(
    send: Send, status: HTTPStatus, detail: str, *headers: tuple[bytes, bytes]
) -> None:
    """Send a problem (RFC 9457)."""
    body = problem(status, detail)
    own = (b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.cert_path:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    file = settings.cert_path
    try:
        context.load_cert_chain(settings.cert_path, settings.key_path or None)
        if settings.client_ca_path:
            file = settings.client_ca_path
            context.load_verify_locations(settings.client_ca_path)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or str(error)
        raise PermanentError(
            f"cannot serve TLS with {file}: {reason}",
            next_step="give the paths of a certificate and its key as PEM files",
        ) from error
    return context


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(2048)
            listening.setblocking(False)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        next_step = {
            errno.EADDRINUSE: "stop the other process, or set another port",
            errno.EACCES: "set a port above 1023, or allow this process to open it",
        }.get(error.errno or 0, "set a host that is an address of this machine")
        reason = error.strerror or str(error)
        raise PermanentError(
            f"cannot listen at {host}:{port}: {reason}", next_step=next_step
        ) from error
    return listening
