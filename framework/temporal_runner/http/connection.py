"""One client's connection: its requests, one at a time and in order, and what it may hold.

A connection has one time by which something has to happen (`due`), which its engine looks at now
and then: no timer is set and none cancelled for a request.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from temporal_runner.http.messages import HttpAnswer, HttpRequest, problem
from temporal_runner.http.reader import NotHttp, Reader

if TYPE_CHECKING:
    from temporal_runner.http.engine import Engine

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


class Connection(asyncio.Protocol):
    """A connection from when it is made until it is lost, and its last request is answered.

    Attributes:
        due: When `expire` is to be called, by the loop's clock.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._clock = asyncio.get_running_loop().time
        self._reader = Reader(self)
        self._transport: asyncio.Transport | None = None
        self._current: HttpRequest | None = None
        """The request that is being answered."""
        self._waiting: deque[HttpRequest] = deque()
        """Those that came before their turn."""
        self._answering: asyncio.Task[None] | None = None
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
        try:
            self._reader.feed(data)
        except NotHttp:
            if len(self._waiting) >= _MOST_AHEAD:
                self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "wait for the answers to the first ones")
            else:
                self._refuse(HTTPStatus.BAD_REQUEST, "this is not a request of HTTP/1.1")
            return
        if self._reader.head > _MAX_HEAD:
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
        self._reader.end()
        if self._current is None:
            self._engine.leave(self)
        self.due = _NEVER

    # What the reader finds.

    def head_begins(self) -> None:
        """A request after the first has begun."""
        self._wait()

    def head_ends(self, request: HttpRequest) -> None:
        """A request can be answered, if it is its turn."""
        if self._current is None and not self._unread:
            self._begin(request)
        elif len(self._waiting) >= _MOST_AHEAD:
            raise NotHttp("too many requests ahead of their answers")
        else:
            self._waiting.append(request)
            self._regulate()

    def body_grows(self, request: HttpRequest) -> None:
        """There is more of its body."""
        if request.buffered > _MAX_BUFFERED:
            self._regulate()

    def body_ends(self, request: HttpRequest) -> None:
        """All of its body is here, perhaps after its answer."""
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
        elif self._last_words is not None and self._current is None and not self._waiting:
            self._say(self._last_words)
        else:
            self._wait()
        self._regulate()

    def _regulate(self) -> None:
        """Read on, or not, by what is here already."""
        if self._transport is None or self._transport.is_closing():
            return
        body = self._reader.arriving
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
        elif self._reader.in_head:
            within = self._engine.header_timeout
        elif self._reader.arriving is not None:
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
        elif self._reader.in_head and not self._parting:
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
        arriving = self._reader.arriving
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
        self._waiting.clear()
        self._regulate()
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
