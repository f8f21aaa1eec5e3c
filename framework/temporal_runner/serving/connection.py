"""uvicorn's connection with bounds on what a slow or idle client may hold.

uvicorn bounds the idle time after an answer; a connection that sends nothing, a head that comes
byte by byte or never ends, a body that goes on after its answer, and a client that does not read
its answers are bounded here.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from temporal_runner.serving.problem import problem

_MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""
_LINGER = 2.0
"""Seconds for which a body may go on after its answer: it is thrown away as it comes, since a
connection closed at once would be reset, and the sender might never read the answer."""
_UNREAD = 10.0
"""Seconds for which a client may leave its answers unread."""
_MOST_AHEAD = 50
"""Requests that a connection may send before the ones ahead of them are answered."""
MAX_CONNECTIONS = 1000
"""Connections to one port at a time."""


def bounded(header_timeout: float) -> type[asyncio.Protocol]:
    """The connection class for a server.

    Args:
        header_timeout: Seconds that a request's head may take, from the connection (or the first
            byte of a later request) on.
    """
    return type("Connection", (_Connection,), {"header_timeout": header_timeout})


class _Connection(HttpToolsProtocol):
    header_timeout: float
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _in_head = True
    _began = False
    """A head began in the bytes that are being read."""
    _head = 0
    """Bytes of the head that is arriving, but for those that it began in."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait(self.header_timeout)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(None)
        self._unset_keepalive_if_required()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._began = False
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if len(self.pipeline) > _MOST_AHEAD:
                self.pipeline.clear()
                self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "wait for the answers to the first ones")
            else:
                self._refuse(HTTPStatus.BAD_REQUEST, "this is not a request of HTTP/1.1")
            return
        if self._in_head:
            self._after_part_of_a_head(len(data))
        elif (
            self._timer is None
            and self.timeout_keep_alive_task is None
            and self._answered
            and not self.transport.is_closing()
        ):
            self._wait(_LINGER)  # the rest of a body whose request was answered without it

    def _after_part_of_a_head(self, size: int) -> None:
        if self.transport.is_closing():
            return
        if self._timer is None:
            self._wait(self.header_timeout)
        if not self._began:
            self._head += size
            if self._head > _MAX_HEAD:
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self._refuse(status, f"the head is larger than {_MAX_HEAD} bytes")

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # Some clients (Java's) ask for HTTP/2 with each first request. The parser then
                # takes the body for something else: it gets the request again without the question.
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _head_without_upgrade(self) -> bytes:
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserError("this is no proxy")
        lines = [b"%b %b HTTP/1.1" % (method, self.url)]
        for name, value in self.headers:
            if name == b"connection" and b"close" in value.lower():
                value = b"close"
            elif name in {b"connection", b"upgrade", b"http2-settings"}:
                continue
            lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def on_message_begin(self) -> None:
        self._in_head = self._began = True
        self._head = 0
        if self._timer is not None:
            self._wait(None)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_head = False
        if self._timer is not None:
            self._wait(None)
        super().on_headers_complete()
        if len(self.pipeline) > _MOST_AHEAD:
            raise OverflowError  # nothing of what follows is parsed

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()  # uvicorn goes on reading after each answer, without a bound

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(_UNREAD, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    @property
    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self, seconds: float | None) -> None:
        """Close the connection after so many seconds, unless this is called again before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._expired)

    def _expired(self) -> None:
        if self.transport.is_closing():
            return
        if self._in_head and self._answered:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        body = problem(status, detail)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
