"""HTTP in the runner's own event loop: what the admin endpoint and HTTP event sources share.

uvicorn is imported when a server starts, so that a runner without one does not load it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from temporal_runner.errors import PermanentError

if TYPE_CHECKING:
    import ssl

    import uvicorn

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class HttpServer:
    """One ASGI application on one port, without signal handlers and log set-up of its own."""

    def __init__(
        self,
        app: AsgiApp,
        *,
        host: str,
        port: int,
        keep_alive: float = 5.0,
        drain: float = 10.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Describe the server; `start` opens the port.

        Args:
            app: The ASGI application.
            host: The address to listen at.
            port: The port; 0 picks a free one, which `port` then holds.
            keep_alive: Seconds after which an idle connection is closed.
            drain: Seconds that `stop` gives requests in flight.
            tls: Serve HTTPS with this context.
        """
        self.host = host
        self.port = port
        self._app = app
        self._keep_alive = keep_alive
        self._drain = drain
        self._tls = tls
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the port and begin to answer.

        Raises:
            PermanentError: The port is in use, or may not be opened.
        """
        import uvicorn

        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        listening = _listen(self.host, self.port)
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=max(1, round(self._keep_alive)),
            timeout_graceful_shutdown=max(1, round(self._drain)),
            ssl_context_factory=(lambda *_: self._tls) if self._tls else None,  # type: ignore[arg-type]
        )
        config.load()
        self._server = uvicorn.Server(config)
        # `serve` would take over SIGINT and SIGTERM, which are the supervisor's.
        self._task = asyncio.create_task(
            self._server._serve([listening]), name=f"http {self.host}:{self.port}"
        )
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.005)

    async def wait(self) -> None:
        """Return, or raise, when the server has ended."""
        assert self._task is not None
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Close the port, let the requests in flight finish, and end."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await self._task
        self._server = self._task = None


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
