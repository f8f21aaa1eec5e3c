"""One client's connection: aiohttp's protocol, and the bounds on a client that it lacks.

aiohttp parses what comes and hands over one request after the other. A connection has one time by
which something has to happen (`Wire.due`), which its engine looks at now and then: no timer is set
and none cancelled for a request. `_parsed` is the one thing here that aiohttp does not promise.
"""

from __future__ import annotations

import asyncio
import logging
import math
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from temporal_runner.http import framing
from temporal_runner.http.framing import Framing
from temporal_runner.http.handover import Written
from temporal_runner.http.messages import HttpAnswer, HttpRequest, problem
from temporal_runner.http.wire import LINGER, UNREAD, Wire

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.http_parser import RawRequestMessage

    from temporal_runner.http.engine import Engine

log = logging.getLogger("temporal_runner.http")


class Connection(web.RequestHandler):
    """A connection from when it is made until it is lost, and its last request is answered.

    Attributes:
        wire: What it speaks by; `expire` is to be called when that is due.
        keep: Another request may follow the one that was answered last.
    """

    def __init__(self, engine: Engine, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=24 * 60 * 60,  # `due` comes first
            logger=log,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=framing.MAX_HEAD,
            max_field_size=framing.MAX_HEAD,
            read_bufsize=framing.MAX_BUFFERED,
            lingering_time=LINGER,
            auto_decompress=False,
        )
        self._engine = engine
        self.wire = Wire()
        self._framing = Framing()
        self._written = Written(self)
        self._message: RawRequestMessage | None = None
        self._body: StreamReader | None = None
        self._begun = 0  # requests whose turn has come
        self._busy = False  # the last of them is to be answered
        self._answering: asyncio.Task[object] | None = None  # what does that
        self._in_head = True  # a head is awaited, within `header_timeout`
        self._half_closed = self._closing = False
        self.keep = True

    @property
    def _parsed(self) -> int:
        """Requests that have come: with it a broken body is known, and which answer is the last."""
        return self._request_count

    @property
    def _waiting(self) -> bool:
        """A request has come whose turn has not, or what was wrong with one."""
        return self._parsed > self._begun

    # The transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        self.wire.made(transport)
        self._wait()
        if why_not := self._engine.enter(self):
            retry_after = (b"retry-after", b"5")
            self._say(problem(HTTPStatus.SERVICE_UNAVAILABLE, why_not, retry_after))
            self.wire.close()
        else:
            super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came; or none, where some were put by until now."""
        if self.wire.parting:
            self.wire.throw_away(data)
            return
        body, count = self._body, self._framing
        arriving = body is not None and not body.is_eof()
        if data:
            count.note(data)
        super().data_received(data)
        if arriving:
            count.add(data)
        if body is not None and not body.is_eof():
            if self._waiting:
                self._break_off()  # what waits says why
            elif count.excess(body) and not self.wire.full:
                log.warning("a request was cut off: too much of it is neither head nor body")
                self.wire.abort()
        elif self._waiting:
            if self._busy or self._parsed > self._begun + 1:
                self.wire.hold()
        elif data and not arriving:
            count.add_to_head(data)
            if count.head > framing.MAX_HEAD:
                self.wire.hold() if self._busy else self._say(framing.too_large_a_head())
            elif count.head and not self._busy and not self._in_head:
                self._wait()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has said all; it may still read what it asked for."""
        if self.wire.parting:
            return False
        self._half_closed = True
        if self._body is not None and not self._body.is_eof():
            self._break_off()
        return self.wire.half_open and (self._busy or self._waiting)

    def pause_reading(self) -> None:
        """There is enough of a body for now."""
        self.wire.full = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """There is room for more of it."""
        if self.wire.full:
            self.wire.full = False
            super().resume_reading(resume_parser)
            self.wire.keep_holding()

    def pause_writing(self) -> None:
        """Answers are not read."""
        super().pause_writing()
        self.wire.not_read()

    def resume_writing(self) -> None:
        """They are."""
        super().resume_writing()
        self.wire.read_again()
        self._wait()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client has gone; what it asked for is still seen to its end."""
        self.wire.gone()
        super().connection_lost(exc)
        if not self._busy:
            if self._body is not None:
                self._body.feed_eof()  # nobody has to wait for the rest of it
            self._engine.leave(self)

    # Requests and answers.

    def begin(self, message: RawRequestMessage, body: StreamReader) -> None:
        """It is a request's turn, or that of what was wrong with one."""
        self._begun += 1
        self._message, self._body = message, body
        self._busy, self._in_head = True, False
        self._framing.begin(message, body)
        self.wire.give(math.inf)  # the application bounds it
        if not self._waiting:
            self.wire.let_go()
        if not body.is_eof() and (self._half_closed or self._waiting):
            self._break_off()

    async def answer(self) -> web.StreamResponse:
        """Answer the request whose turn it is."""
        engine, message, body = self._engine, self._message, self._body
        assert message is not None
        assert body is not None
        self._answering = asyncio.current_task()
        answer: HttpAnswer | None = None
        close, sent = True, b""
        try:
            if self.wire.unread is not None:
                await self.wire.unread.wait()
            if self.wire.open:
                request = HttpRequest(message, body, self._ask_for_body)
                answer = framing.objection(message, request)
                if answer is None:
                    answer = await engine.application(request)
                    close = not self._may_go_on(message, body)
            if answer is not None:
                head_only = message.method == "HEAD"
                sent = answer.encode(engine.date(), close=close, head_only=head_only)
        except Exception:
            log.exception("answering a request failed")
            close = True
            answer = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the runner's log says more")
            sent = answer.encode(engine.date(), close=True)
        finally:
            self._answered()
        if answer is None:
            self.keep = self._waiting  # what waits says why there is none
        else:
            self.keep = not close
            self.wire.write(sent)
            if close and not body.is_eof():
                self.wire.end_ours()
        self._wait()
        return self._written

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Say that what came is no request."""
        self._answered()
        self._say(framing.refusal(exc, message or "it cannot be read"))
        return self._written

    def _answered(self) -> None:
        self._busy, self._answering = False, None
        if self.wire.lost.is_set():
            self._engine.leave(self)

    def _may_go_on(self, message: RawRequestMessage, body: StreamReader) -> bool:
        """Whether another request may follow the one that is answered."""
        if message.should_close or message.version != (1, 1):
            return False
        if (self._half_closed or self._closing) and not self._waiting:
            return False
        return self._framing.ends_well(message, body)

    def _ask_for_body(self) -> None:
        """The application waits for the body of the request that it answers."""
        message, body = self._message, self._body
        if message is None or body is None or body.total_bytes or message.version != (1, 1):
            return
        if message.headers.get("Expect", "").lower() == "100-continue":
            self.wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _break_off(self) -> None:
        """No more will come of the body that arrives."""
        if self._body is not None:
            if self._busy:
                self._body.set_exception(ConnectionError("the body ended before its end"))
            self._body.feed_eof()

    # Bounds.

    def _wait(self) -> None:
        """Set by when something has to happen: what is waited for says what, and how long."""
        if self._busy or self._waiting:
            self.wire.give(math.inf)
            return
        if not self.keep:
            within = UNREAD  # for what is not sent yet
        elif self._framing.head or not self._begun:
            self._in_head = True
            within = self._engine.header_timeout
        else:
            within = self._engine.keep_alive
        if self._body is not None and not self._body.is_eof():
            within += LINGER
        self.wire.give(within)
        if not self.wire.parting:
            self.wire.let_go()

    def expire(self) -> None:
        """What was due did not happen."""
        if self.wire.unread is not None or not self.wire.open:
            self.wire.abort()
        elif self._in_head and not self.wire.parting:
            self._say(problem(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time"))
        else:
            self._end()

    def finish(self) -> None:
        """Close as soon as what has come is answered."""
        self._closing = True
        if not self._busy and not self._waiting:
            self._end()

    def abort(self) -> None:
        """Close, whatever is under way."""
        if self._answering is not None:
            self._answering.cancel()
        self.wire.abort()

    def _say(self, last_words: HttpAnswer) -> None:
        """End our side with this, and let the client's come to an end."""
        self.keep = False
        self.wire.part(last_words.encode(self._engine.date(), close=True))

    def _end(self) -> None:
        self.force_close()
        self.wire.close()
