"""One open port, with the applications that answer there: each at a path, or one at all paths."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from http import HTTPStatus
from typing import TYPE_CHECKING

from temporal_runner.errors import PermanentError
from temporal_runner.http.messages import Application, HttpAnswer, HttpRequest, problem
from temporal_runner.http.sockets import Settings, listen_at, tls_context

if TYPE_CHECKING:
    from temporal_runner.http.engine import Engine

log = logging.getLogger("temporal_runner.http")


class Mounted:
    """An application at a path of a port, which knows what of it is in flight."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._in_flight = 0
        self._idle: asyncio.Event | None = None
        """Set when nothing is in flight, for who waits for that."""

    async def answer(self, request: HttpRequest) -> HttpAnswer | None:
        """Answer one request, in the task that the connection made for it."""
        self._in_flight += 1
        try:
            return await self._application(request)
        finally:
            self._in_flight -= 1
            if not self._in_flight and self._idle is not None:
                self._idle.set()

    async def drained(self, within: float) -> None:
        """Wait until nothing is in flight, so many seconds at most."""
        if not self._in_flight:
            return
        self._idle = asyncio.Event()
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
        self._closed = asyncio.Event()

    @property
    def closed(self) -> bool:
        """It is open no more, and will not be again."""
        return self._closed.is_set()

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
            if self._engine is None:
                try:
                    await self._open()
                except BaseException:
                    self._closed.set()
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
        """Return when it has closed."""
        await self._closed.wait()

    async def _answer(self, request: HttpRequest) -> HttpAnswer | None:
        mounted = self._mounted.get(request.path) or self._mounted.get(None)
        if mounted is not None:
            return await mounted.answer(request)
        if request.path in self._known:
            detail = "the listener of this path is not ready"
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, (b"retry-after", b"5"))
        return problem(HTTPStatus.NOT_FOUND, "nothing listens at this path")

    async def _open(self) -> None:
        from temporal_runner.http.engine import Engine

        settings = self.settings
        engine = Engine(
            self._answer,
            keep_alive=settings.keep_alive,
            header_timeout=settings.header_timeout,
            tls=tls_context(settings),
        )
        listening = listen_at(self.host, self.port)
        self.port = listening.getsockname()[1]
        engine.open(listening)
        self._engine = engine

    async def _close(self) -> None:
        # Not closed before it is: who wants to open it anew has to wait for that.
        try:
            if self._engine is not None:
                await self._engine.close(self.settings.drain)
        finally:
            self._closed.set()
