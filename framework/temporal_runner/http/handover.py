"""Between aiohttp's server and a connection of ours: what it hands over, and what it gets back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

from aiohttp import web

from temporal_runner.http.wire import LINGER

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage

    from temporal_runner.http.connection import Connection


def make_server() -> web.Server:
    """What hands requests over to the connections of one port."""
    loop = asyncio.get_running_loop()

    def begin(
        message: RawRequestMessage,
        body: StreamReader,
        protocol: Connection,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        request = web.BaseRequest(message, body, protocol, writer, task, loop)
        protocol.begin(message, body)
        return request

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await cast("Connection", request.protocol).answer()

    return web.Server(answer, request_factory=begin)  # type: ignore[arg-type]


class Written(web.StreamResponse):
    """Stands for an answer that its connection has written itself, in one piece."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    @property
    def keep_alive(self) -> bool | None:
        """Another request may follow."""
        return self._connection.keep

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """There is nothing left to do."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Let the client read what was said last; aiohttp closes the connection then."""
        wire = self._connection.wire
        if wire.parting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wire.lost.wait(), LINGER)
