"""uvicorn as it is run here: no signal handlers, no log set-up, and it stops when it is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import Any

import uvicorn

from temporal_runner.serving.connection import bounded


class Engine(uvicorn.Server):
    """One uvicorn server on one socket."""

    def __init__(
        self,
        app: Any,
        *,
        keep_alive: float,
        header_timeout: float,
        drain: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Set it up.

        Args:
            app: The ASGI application.
            keep_alive: Seconds after which an idle connection is closed.
            header_timeout: Seconds that a request's head may take.
            drain: Seconds that requests in flight get at the end.
            tls: Serve HTTPS by this context.
        """
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        config = uvicorn.Config(
            app,
            http=bounded(header_timeout),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=max(1, round(keep_alive)),
            timeout_graceful_shutdown=max(1, round(drain)),
            ssl_context_factory=(lambda *_: tls) if tls else None,
        )
        config.load()
        super().__init__(config)
        self._told = asyncio.Event()

    async def run_at(self, listening: socket.socket) -> None:
        """Serve until `stop`, then finish the requests in flight."""
        # `serve` would take over SIGINT and SIGTERM, which are the supervisor's.
        await self._serve([listening])

    def stop(self) -> None:
        """End soon; `run_at` returns then."""
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        """Wait for `stop`; uvicorn's own would look ten times a second."""
        while not self.should_exit:
            await self.on_tick(0)  # writes the time for the header Date
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and serve to their end those that were taken."""
        loop = asyncio.get_running_loop()
        # A connection that asyncio has accepted, but made no transport for when its server closes,
        # is neither served nor closed: let it take no more, and make those transports first.
        for listening in sockets or ():
            with contextlib.suppress(RuntimeError, NotImplementedError):  # uvloop needs none of it
                loop.remove_reader(listening.fileno())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # And uvloop's has its transport, but nobody was told of it: uvicorn would not find it among
        # those that it closes, and would wait for a client that goes on sending.
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await super().shutdown(sockets)
