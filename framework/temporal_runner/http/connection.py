"""One client's connection: aiohttp's protocol, and the bounds on a client that it lacks.

aiohttp parses what comes and hands over one request after the other. A connection has one time by
which something has to happen (`due`), which its engine looks at now and then: no timer is set and
none cancelled for a request. This is the one module that imports aiohttp's server.
"""

from __future__ import annotations

import asyncio
import logging
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from temporal_runner.http.messages import HttpAnswer, HttpRequest, problem

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage

    from temporal_runner.http.engine import Engine

log = logging.getLogger("temporal_runner.http")

MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""
MAX_FRAMING = 64 * 1024
"""Bytes of a request that are neither its head nor its body: sizes of chunks and their extensions,
trailers. An eighth of the body may come on top, so that a chunk of 50 bytes is a fair one."""
MAX_BUFFERED = 64 * 1024
"""Bytes of a body that nobody has taken yet; with twice as many the client has to wait."""
LINGER = 2.0
"""Seconds for which a client may go on after its answer: it is thrown away as it comes, since a
connection closed at once would be reset, and the sender might never read the answer."""
UNREAD = 10.0
"""Seconds for which a client may leave its answers unread."""
_RETRY_AFTER = (b"retry-after", b"5")
"""Seconds after which a client that is refused for now is asked to come again."""
_LAST_CHUNK = b"\n0\r\n\r\n"
"""How a chunked body without trailers ends."""
_TOO_LARGE = f"the head is larger than {MAX_HEAD} bytes, or has more than 128 headers"
_NEVER = math.inf


def make_server() -> web.Server:
    """What the connections of a port have in common."""
    loop = asyncio.get_running_loop()

    def begin(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        request = web.BaseRequest(message, payload, protocol, writer, task, loop)
        cast(Connection, protocol).begin(message, payload)
        return request

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await cast(Connection, request.protocol).answer()

    return web.Server(answer, request_factory=begin)


def _objection(message: RawRequestMessage, request: HttpRequest) -> HttpAnswer | None:
    """Why a request that aiohttp takes is none here."""
    if message.version not in ((1, 1), (1, 0)):
        return problem(HTTPStatus.BAD_REQUEST, "this is not a request of HTTP/1.1")
    if message.method == "CONNECT":
        return problem(HTTPStatus.BAD_REQUEST, "this is no proxy")
    coding = request.headers.get("transfer-encoding")
    if coding is not None and (coding.lower() != "chunked" or message.version == (1, 0)):
        return problem(HTTPStatus.BAD_REQUEST, "a body may be chunked, and coded in no other way")
    if request.head_size > MAX_HEAD:
        return problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
    return None


class _Written(web.StreamResponse):
    """Stands for an answer that its connection has written itself, in one piece."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    @property
    def keep_alive(self) -> bool | None:
        return self._connection.keep

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """There is nothing left to do."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Let the client read what was said last; aiohttp closes the connection then."""
        if (parting := self._connection.parting) is not None:
            await asyncio.wait([parting], timeout=LINGER)


class Connection(web.RequestHandler):
    """A connection from when it is made until it is lost, and its last request is answered.

    Attributes:
        due: When `expire` is to be called, by the loop's clock.
        keep: Another request may follow the one that was answered last.
        parting: All is said, what still comes is thrown away; done when the client ends too.
    """

    __slots__ = (
        "_answering",
        "_begun",
        "_beyond_head",
        "_busy",
        "_came",
        "_clock",
        "_closing",
        "_engine",
        "_full",
        "_half_closed",
        "_head",
        "_held",
        "_in_head",
        "_last",
        "_message",
        "_payload",
        "_payload_before",
        "_tail",
        "_unread",
        "_wire",
        "_written",
        "due",
        "keep",
        "parting",
    )

    def __init__(self, engine: Engine, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=24 * 60 * 60,  # `due` comes first
            logger=log,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            read_bufsize=MAX_BUFFERED,
            lingering_time=LINGER,
            auto_decompress=False,
        )
        self._engine = engine
        self._clock = loop.time
        self._wire: asyncio.Transport | None = None
        self._written = _Written(self)
        self._message: RawRequestMessage | None = None
        self._payload: StreamReader | None = None
        self._begun = 0  # requests whose turn has come
        self._busy = False  # one of them is to be answered
        self._answering: asyncio.Task[object] | None = None  # what does that
        self._in_head = True  # a head is awaited, within `header_timeout`
        self._head = 0  # bytes of it
        self._came = self._payload_before = 0  # bytes since the request began; of its body before
        self._beyond_head = 0  # bytes that came in one piece with the end of its head
        self._last = self._tail = b""  # the last piece that came, the last bytes of all
        self._full = self._held = False  # reading is paused: for the body, for answers to come
        self._half_closed = self._closing = False
        self._unread: asyncio.Event | None = None  # to be set when the client reads again
        self.keep = True
        self.parting: asyncio.Future[None] | None = None
        self.due = self._clock() + engine.header_timeout

    @property
    def _parsed(self) -> int:
        """Requests that have come: the one thing here that aiohttp does not promise.

        It says that what broke is a body, and which answer is the last.
        """
        return self._request_count

    # The transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        self._wire = cast(asyncio.Transport, transport)
        if why_not := self._engine.enter(self):
            self._say(problem(HTTPStatus.SERVICE_UNAVAILABLE, why_not, _RETRY_AFTER))
            self._wire.close()
        else:
            super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came; or none, where some were put by until now."""
        if self.parting is not None:
            return
        if data:
            self._last = data
            self._tail = data[-6:] if len(data) > 5 else (self._tail + data)[-6:]
        payload = self._payload
        arriving = payload is not None and not payload.is_eof()
        super().data_received(data)
        if arriving:
            self._came += len(data)
        waiting = self._parsed - self._begun
        if payload is not None and not payload.is_eof():
            if waiting:
                self._break_off()  # what waits says why
            else:
                self._weigh(payload.total_bytes)
        elif waiting:
            if self._busy or waiting > 1:
                self._hold()
        elif not arriving:
            self._grow_head(data)

    def _weigh(self, body: int) -> None:
        """Bound what is neither head nor body; what is put by until there is room is unknown."""
        framing = self._came - (body - self._payload_before)
        if framing > MAX_FRAMING + body // 8 and not self._full and self._wire is not None:
            log.warning("a request was cut off: %d bytes of it are no body", framing)
            self._wire.abort()

    def _grow_head(self, data: bytes) -> None:
        # Empty lines before a request are none of it.
        self._head += len(data if self._head else data.lstrip(b"\r\n"))
        if self._busy:
            if self._head > MAX_HEAD:
                self._hold()
        elif self._head > MAX_HEAD:
            self._say(problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE))
        elif self._head and not self._in_head:
            self._in_head = True
            self.due = self._clock() + self._engine.header_timeout

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has said all; it may still read what it asked for."""
        if self.parting is not None:
            self._part_for_good()
            return False
        self._half_closed = True
        if self._payload is not None and not self._payload.is_eof():
            self._break_off()
        # By TLS a connection is never half closed.
        return self.ssl_context is None and (self._busy or self._parsed > self._begun)

    def pause_reading(self) -> None:
        """There is enough of a body for now."""
        self._full = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """There is room for more of it."""
        if self._full:
            self._full = False
            super().resume_reading(resume_parser)
            if self._held and self._wire is not None:
                self._wire.pause_reading()

    def pause_writing(self) -> None:
        """Answers are not read."""
        super().pause_writing()
        self._unread = asyncio.Event()
        self.due = self._clock() + UNREAD

    def resume_writing(self) -> None:
        """They are."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.set()
            self._unread = None
        self._wait()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client has gone; what it asked for is still seen to its end."""
        self._wire = None
        if self._unread is not None:
            self._unread.set()
        self._part_for_good()
        super().connection_lost(exc)
        if not self._busy:
            if self._payload is not None:
                self._payload.feed_eof()  # nobody has to wait for the rest of it
            self._engine.leave(self)
        self.due = _NEVER

    # Requests and answers.

    def begin(self, message: RawRequestMessage, payload: StreamReader) -> None:
        """It is a request's turn, or that of what was wrong with one."""
        self._begun += 1
        self._busy = True
        self._message, self._payload = message, payload
        self._in_head = False
        self._head = self._came = 0
        self._payload_before = payload.total_bytes
        if message.upgrade:
            _, end, rest = self._last.partition(b"\r\n\r\n")
            self._beyond_head = len(rest) if end else -1
        self._last = b""
        if self._unread is None:
            self.due = _NEVER  # from here on the application bounds it
        if self._parsed == self._begun:
            self._let_go()
        if not payload.is_eof() and (self._half_closed or self._parsed > self._begun):
            self._break_off()

    async def answer(self) -> web.StreamResponse:
        """Answer the request whose turn it is."""
        engine, message, payload = self._engine, self._message, self._payload
        assert message is not None
        assert payload is not None
        self._answering = asyncio.current_task()
        answer: HttpAnswer | None = None
        close = True
        try:
            if self._unread is not None:
                await self._unread.wait()
            if self._wire is not None:
                request = HttpRequest(message, payload, self._ask_for_body)
                answer = _objection(message, request)
                if answer is None:
                    answer = await engine.application(request)
                    close = not self._may_go_on(message, payload)
            if answer is not None:
                head_only = message.method == "HEAD"
                sent = answer.encode(engine.date(), close=close, head_only=head_only)
        except Exception:
            log.exception("answering a request failed")
            answer = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the runner's log says more")
            close = True
            sent = answer.encode(engine.date(), close=True)
        finally:
            self._answered()
            wire = self._wire
        self.keep = not close
        if wire is None or wire.is_closing():
            self.keep = False
        elif answer is None:
            self.keep = self._parsed > self._begun  # what waits says why there is none
        else:
            wire.write(sent)
            if close and not payload.is_eof() and wire.can_write_eof():
                wire.write_eof()  # the client need not wait until we no longer listen
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
        why = (message or "it cannot be read").partition("\n")[0].strip(" :")
        if isinstance(exc, LineTooLong) or why.startswith("Too many headers"):
            refusal = problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
        else:
            refusal = problem(HTTPStatus.BAD_REQUEST, f"this is not a request of HTTP/1.1: {why}")
        self._say(refusal)
        return self._written

    def _answered(self) -> None:
        self._busy = False
        self._answering = None
        if self._wire is None:
            self._engine.leave(self)

    def _may_go_on(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Whether another request may follow the one that is answered."""
        if message.should_close or message.version != (1, 1):
            return False
        if (self._half_closed or self._closing) and self._parsed == self._begun:
            return False
        if message.chunked:
            # aiohttp (3.14.5) takes the last trailer for a header of the next request.
            return payload.is_eof() and self._tail == _LAST_CHUNK
        if message.upgrade:
            # It also loses what comes in one piece with the end of such a request.
            length = int(message.headers.get("Content-Length", "0"))
            return self._beyond_head + self._came == length
        return True

    def _ask_for_body(self) -> None:
        """The application waits for the body of the request that it answers."""
        wire, message, payload = self._wire, self._message, self._payload
        if wire is None or message is None or payload is None or payload.total_bytes:
            return
        expects = message.headers.get("Expect", "").lower() == "100-continue"
        if expects and message.version == (1, 1) and not wire.is_closing():
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _break_off(self) -> None:
        """No more will come of the body that arrives."""
        assert self._payload is not None
        if self._busy:
            self._payload.set_exception(ConnectionError("the body ended before its end"))
        self._payload.feed_eof()

    # Bounds.

    def _hold(self) -> None:
        """Read no more until answers have caught up."""
        if self._wire is not None and not self._wire.is_closing():
            self._held = True
            self._wire.pause_reading()

    def _let_go(self) -> None:
        if self._held:
            self._held = False
            if not self._full and self._wire is not None and not self._wire.is_closing():
                self._wire.resume_reading()

    def _wait(self) -> None:
        """Set by when something has to happen, where nothing is being answered."""
        if self._unread is not None or self.parting is not None:
            return
        if self._busy or self._parsed > self._begun:
            self.due = _NEVER
            return
        if not self.keep:
            within = UNREAD  # for what is not sent yet
        elif self._head:
            self._in_head = True
            within = self._engine.header_timeout
        else:
            within = self._engine.keep_alive
        if self._payload is not None and not self._payload.is_eof():
            within += LINGER
        self.due = self._clock() + within
        if self.keep:
            self._let_go()

    def expire(self) -> None:
        """What was due did not happen."""
        if self._wire is None:
            return
        if self._unread is not None or self._wire.is_closing():
            self._wire.abort()
        elif self._in_head and self.parting is None:
            self._say(problem(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time"))
        else:
            self._end()

    def finish(self) -> None:
        """Close as soon as what has come is answered."""
        self._closing = True
        if not self._busy and self._parsed == self._begun:
            self._end()

    def abort(self) -> None:
        """Close, whatever is under way."""
        if self._answering is not None:
            self._answering.cancel()
        if self._wire is not None:
            self._wire.abort()

    def _say(self, last_words: HttpAnswer) -> None:
        """End our side with this, and let the client's come to an end."""
        wire = self._wire
        self.keep = False
        if wire is None or wire.is_closing() or self.parting is not None:
            return
        self.parting = asyncio.get_running_loop().create_future()
        wire.write(last_words.encode(self._engine.date(), close=True))
        if wire.can_write_eof():
            wire.write_eof()
            self.due = self._clock() + LINGER
        else:
            self._part_for_good()
            self._end()

    def _part_for_good(self) -> None:
        if self.parting is not None and not self.parting.done():
            self.parting.set_result(None)

    def _end(self) -> None:
        self.force_close()
        self.due = self._clock() + UNREAD  # for what is not sent yet
