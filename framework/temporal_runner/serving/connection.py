"""One client's connection: its requests, one at a time and in order, and what it may hold.

httptools' parser (llhttp, strict) calls the `on_` methods. A connection has one time by which
something has to happen (`due`), which its engine looks at now and then: no timer is set and none
cancelled for a request.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import httptools

from temporal_runner.serving.messages import HttpAnswer, HttpRequest, problem

if TYPE_CHECKING:
    from temporal_runner.serving.engine import Engine

log = logging.getLogger("temporal_runner.serving")

_MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""
_MAX_BUFFERED = 64 * 1024
"""Bytes of a body that nobody has taken yet; with more of them the client has to wait."""
_LINGER = 2.0
"""Seconds for which a body may go on after its answer: it is thrown away as it comes, since a
connection closed at once would be reset, and the sender might never read the answer."""
_UNREAD = 10.0
"""Seconds for which a client may leave its answers unread."""
_MOST_AHEAD = 50
"""Requests that a connection may send before the ones ahead of them are answered: a few bytes each
on the wire, and a thousand times that in memory."""
_RETRY_AFTER = b"5"
"""Seconds after which a client that is refused for now is asked to come again."""
_FOR_NOW = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}
MAX_CONNECTIONS = 1000
"""Connections to one port at a time."""
_NEVER = math.inf
_FOR_HTTP2 = ("upgrade", "http2-settings")


class Connection(asyncio.Protocol):
    """A connection from when it is made until it is lost, and its last request is answered.

    Attributes:
        due: When `expire` is to be called, by the loop's clock.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._clock = asyncio.get_running_loop().time
        self._parser = self._new_parser()
        self._transport: asyncio.Transport | None = None
        self._arriving: HttpRequest | None = None
        """The request that arrives, from its first byte to its last."""
        self._current: HttpRequest | None = None
        """The request that is being answered."""
        self._waiting: deque[HttpRequest] = deque()
        """Those that came before their turn."""
        self._answering: asyncio.Task[None] | None = None
        self._url = b""
        self._in_head = True
        self._began = False
        """A head began in the bytes that are being read."""
        self._head = 0
        """Bytes of the head that is arriving, but for those that it began in."""
        self._reading = True
        self._unread = False
        """The client does not read its answers."""
        self._last_words: HttpAnswer | None = None
        """What was wrong, to be said after the answers that are due."""
        self._parting = False
        """All is said: what still comes is thrown away."""
        self.due = self._clock() + engine.header_timeout

    # The transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        self._transport = cast(asyncio.Transport, transport)
        if why_not := self._engine.enter(self):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, why_not)
            self._close()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._parting or self._last_words is not None:
            return
        self._began = False
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if len(self._waiting) >= _MOST_AHEAD:
                self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "wait for the answers to the first ones")
            else:
                self._refuse(HTTPStatus.BAD_REQUEST, "this is not a request of HTTP/1.1")
            return
        if self._in_head and not self._began:
            self._head += len(data)
            if self._head > _MAX_HEAD:
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self._refuse(status, f"the head is larger than {_MAX_HEAD} bytes")

    def pause_writing(self) -> None:
        """Answers are not read."""
        self._unread = True
        self._wait()

    def resume_writing(self) -> None:
        """They are."""
        self._unread = False
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone; what it asked for is still seen to its end."""
        self._transport = None
        self._waiting.clear()
        if self._arriving is not None:
            self._arriving.end(gone=True)
        if self._current is None:
            self._engine.leave(self)
        self.due = _NEVER
        self._parser = cast(httptools.HttpRequestParser, None)  # which knows this, too

    # The parser.

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # What is sent after `Connection: close` is no error: it is never looked at.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # Some clients (Java's) ask for HTTP/2 with each first request. The parser then
                # takes the body for something else: it gets the request again without the question.
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self._parser = self._new_parser()

    def _head_without_upgrade(self) -> bytes:
        method = self._parser.get_method()
        if method == b"CONNECT" or self._arriving is None:
            raise httptools.HttpParserError("this is no proxy")
        headers = self._arriving.headers
        if "close" not in headers.get("connection", "").lower():
            headers.pop("connection", None)
        else:
            headers["connection"] = "close"
        lines = [b"%b %b HTTP/1.1" % (method, self._url)]
        lines += [
            f"{name}: {value}".encode("latin-1")
            for name, value in headers.items()
            if name not in _FOR_HTTP2
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._arriving = HttpRequest(self)
        self._url = b""
        self._head = 0
        self._began = True
        if not self._in_head:
            self._in_head = True
            self._wait()

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; one behind the body would be too late to be believed."""
        if self._in_head and self._arriving is not None:
            self._arriving.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there: the request can be answered."""
        request, parser = self._arriving, self._parser
        if request is None or parser.should_upgrade():
            return
        version = parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise httptools.HttpParserError(f"there is no HTTP/{version} here")
        self._in_head = False
        request.method = parser.get_method().decode()
        request.keep_alive = version == "1.1" and parser.should_keep_alive()
        self._aim(request)
        if self._current is None and not self._unread:
            self._begin(request)
        elif len(self._waiting) >= _MOST_AHEAD:
            raise httptools.HttpParserError("too many requests ahead of their answers")
        else:
            self._waiting.append(request)
            self._regulate()

    def _aim(self, request: HttpRequest) -> None:
        path, _, query = self._url.partition(b"?")
        if not path.startswith(b"/"):
            target = httptools.parse_url(self._url)
            path, query = target.path or b"/", target.query or b""
        request.path = path.decode("latin-1")
        if "%" in request.path:
            request.path = unquote(request.path)
        request.query_string = query

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        request = self._arriving
        if request is not None and not request.answered:
            request.add(piece)
            if request.buffered > _MAX_BUFFERED:
                self._regulate()

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        request = self._arriving
        if request is None or self._parser.should_upgrade():
            return
        self._arriving = None
        request.end()
        if request.answered:
            self._go_on() if request.keep_alive else self._close()

    def ask_for_body(self, request: HttpRequest) -> None:
        """The application waits for the body of the request that it answers."""
        expects = request.headers.get("expect", "").lower() == "100-continue"
        if expects and not request.begun and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._regulate()

    # Answers.

    def _begin(self, request: HttpRequest) -> None:
        self._current = request
        self.due = _NEVER  # from here on the application bounds it
        self._answering = asyncio.create_task(self._answer(request))

    async def _answer(self, request: HttpRequest) -> None:
        engine = self._engine
        try:
            answer = await engine.application(request)
            if answer is not None:
                close = not request.keep_alive
                head_only = request.method == "HEAD"
                sent = answer.encode(engine.date(), close=close, head_only=head_only)
        except Exception:
            log.exception("answering a request failed")
            request.keep_alive = False
            answer = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the runner's log says more")
            sent = answer.encode(engine.date(), close=True)
        finally:
            self._current = self._answering = None
            request.answered = True
            transport = self._transport
            if transport is None:
                engine.leave(self)
        if transport is None or transport.is_closing():
            return
        if answer is None:
            self._say(self._last_words) if self._last_words else self._close()
        else:
            transport.write(sent)
            if request.keep_alive:
                self._go_on()
            elif request.complete:
                self._close()
            else:
                self._part()

    def _go_on(self) -> None:
        """With what comes next, when an answer is written or there is room for one again."""
        if self._waiting and self._current is None and not self._unread:
            self._begin(self._waiting.popleft())
        elif self._last_words is not None and self._current is None:
            self._say(self._last_words)
        else:
            self._wait()
        self._regulate()

    def _regulate(self) -> None:
        """Read on, or not, by what is here already."""
        if self._transport is None or self._transport.is_closing():
            return
        body = self._arriving
        full = body is not None and not body.answered and body.buffered > _MAX_BUFFERED
        reading = not (self._waiting or full)
        if reading is not self._reading:
            self._reading = reading
            (self._transport.resume_reading if reading else self._transport.pause_reading)()

    # Bounds.

    def _wait(self) -> None:
        """Set by when something has to happen: what is waited for says what, and how long."""
        if self._current is not None and not self._unread:
            self.due = _NEVER
            return
        if self._unread:
            within = _UNREAD
        elif self._parting:
            within = _LINGER
        elif self._in_head:
            within = self._engine.header_timeout
        elif self._arriving is not None:
            within = _LINGER
        else:
            within = self._engine.keep_alive
        self.due = self._clock() + within

    def expire(self) -> None:
        """What was due did not happen."""
        transport = self._transport
        if transport is None:
            return
        if self._unread or transport.is_closing():
            transport.abort()
        elif self._in_head and not self._parting:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time")
        else:
            self._close()

    def finish(self) -> None:
        """Close as soon as what has come is answered."""
        if self._current is None and not self._waiting:
            self._close()
        else:
            last = self._waiting[-1] if self._waiting else self._current
            cast(HttpRequest, last).keep_alive = False

    def abort(self) -> None:
        """Close, whatever is under way."""
        if self._answering is not None:
            self._answering.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Say what is wrong when it is its turn, and listen no more."""
        arriving = self._arriving
        if arriving is not None and arriving.answered:
            self._part()
            return
        again = ((b"retry-after", _RETRY_AFTER),) if status in _FOR_NOW else ()
        self._last_words = problem(status, detail, *again)
        if arriving is not None:
            arriving.end(gone=True)
        if self._current is None and not self._waiting:
            self._say(self._last_words)

    def _say(self, last_words: HttpAnswer) -> None:
        if self._transport is not None:
            self._transport.write(last_words.encode(self._engine.date(), close=True))
            self._part()

    def _part(self) -> None:
        """End our side, and let the client's come to an end: a reset would lose it the answer."""
        self._parting = True
        transport = self._transport
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()
            self._wait()
        else:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self.due = self._clock() + _UNREAD  # for what is not sent yet
