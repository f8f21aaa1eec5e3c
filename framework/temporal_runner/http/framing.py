"""Bytes of a request that are neither its head nor its body, and where exactly a request ends.

aiohttp (3.14.5) puts no bound on the first, and is wrong about the second in two cases: the last
trailer becomes a header of the next request, and what comes in one piece with the end of a request
that asks for another protocol is lost. After such a request the connection ends.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp.http_exceptions import LineTooLong

from temporal_runner.http.messages import HttpAnswer, HttpRequest, problem

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.http_parser import RawRequestMessage

MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""
MAX_FRAMING = 64 * 1024
"""Bytes of a request that are neither its head nor its body: sizes of chunks and their extensions,
trailers. An eighth of the body may come on top, so that a chunk of 50 bytes is a fair one."""
MAX_BUFFERED = 64 * 1024
"""Bytes of a body that nobody has taken yet; with twice as many the client has to wait."""
_LAST_CHUNK = b"\n0\r\n\r\n"
"""How a chunked body without trailers ends."""


def too_large_a_head() -> HttpAnswer:
    """431."""
    detail = f"the head is larger than {MAX_HEAD} bytes, or has more than 128 headers"
    return problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)


def refusal(error: BaseException | None, why: str) -> HttpAnswer:
    """What is said of what aiohttp takes for no request."""
    why = why.partition("\n")[0].strip(" :")
    if isinstance(error, LineTooLong) or why.startswith("Too many headers"):
        return too_large_a_head()
    return problem(HTTPStatus.BAD_REQUEST, f"this is not a request of HTTP/1.1: {why}")


def objection(message: RawRequestMessage, request: HttpRequest) -> HttpAnswer | None:
    """Why a request that aiohttp takes is none here; None where it is one."""
    if message.version not in ((1, 1), (1, 0)):
        return problem(HTTPStatus.BAD_REQUEST, "this is not a request of HTTP/1.1")
    if message.method == "CONNECT":
        return problem(HTTPStatus.BAD_REQUEST, "this is no proxy")
    coding = request.headers.get("transfer-encoding")
    if coding is not None and (coding.lower() != "chunked" or message.version == (1, 0)):
        return problem(HTTPStatus.BAD_REQUEST, "a body may be chunked, and coded in no other way")
    return too_large_a_head() if request.head_size > MAX_HEAD else None


class Framing:
    """Counts what comes on a connection.

    Attributes:
        head: Bytes of the head that arrives.
    """

    __slots__ = ("_beyond_head", "_body_before", "_came", "_last", "_tail", "head")

    def __init__(self) -> None:
        self.head = 0
        self._came = self._body_before = 0  # since the request began; of its body before that
        self._beyond_head = 0  # what came in one piece with the end of its head
        self._last = self._tail = b""  # the last piece, the last bytes of all

    def note(self, data: bytes) -> None:
        """A piece came."""
        self._last = data
        self._tail = data[-6:] if len(data) > 5 else (self._tail + data)[-6:]

    def add_to_head(self, data: bytes) -> None:
        """It belongs to a head; empty lines before a request are none of it."""
        self.head += len(data if self.head else data.lstrip(b"\r\n"))

    def add(self, data: bytes) -> None:
        """It belongs to the request that has begun."""
        self._came += len(data)

    def begin(self, message: RawRequestMessage, body: StreamReader) -> None:
        """A request begins."""
        self.head = self._came = 0
        self._body_before = body.total_bytes
        if message.upgrade:
            _, end, rest = self._last.partition(b"\r\n\r\n")
            self._beyond_head = len(rest) if end else -1
        self._last = b""

    def excess(self, body: StreamReader) -> bool:
        """There is more than may be beside the body."""
        size = body.total_bytes
        return self._came - (size - self._body_before) > MAX_FRAMING + size // 8

    def ends_well(self, message: RawRequestMessage, body: StreamReader) -> bool:
        """Another request may follow this one."""
        if message.chunked:
            return body.is_eof() and self._tail == _LAST_CHUNK
        if message.upgrade:
            length = int(message.headers.get("Content-Length", "0"))
            return self._beyond_head + self._came == length
        return True
