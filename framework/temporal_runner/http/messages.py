"""A request as it arrives, and an answer as it is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.http_parser import RawRequestMessage

Headers = tuple[tuple[bytes, bytes], ...]
_PHRASES = {one.value: one.phrase for one in HTTPStatus}
_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode()
    for status in range(200, 600)
}
_NO_HEADER = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What would end a header, or more."""
_SLASH = re.compile("%2f", re.IGNORECASE)


class HttpRequest:
    """A request whose head has arrived; its body may still be coming.

    Attributes:
        method: Such as POST.
        path: Without the query, percent-decoded but for `%2F`: what is no `/` on the way is none
            here.
        query_string: What stands behind the `?`.
        headers: By lower-case name; the values of one that is there several times, joined by a
            comma (RFC 9110), cookies by a semicolon.
        repeated: The names of those.
        head_size: Bytes of its target and its headers.
    """

    __slots__ = (
        "_arrived",
        "_ask_for_body",
        "_body",
        "head_size",
        "headers",
        "method",
        "path",
        "query_string",
        "repeated",
    )

    def __init__(
        self, message: RawRequestMessage, body: StreamReader, ask_for_body: Callable[[], None]
    ) -> None:
        self.method = message.method
        target, size = message.path, len(message.path)
        if not target.startswith("/"):
            target = message.url.raw_path_qs if message.url.absolute else target
        if not target.isascii():
            target = target.encode("utf-8", "surrogateescape").decode("latin-1")
        path, _, query = target.partition("?")
        self.path = _decoded(path) if "%" in path else path
        self.query_string = query.encode("latin-1")
        self.headers: dict[str, str] = {}
        self.repeated: frozenset[str] = frozenset()
        headers = self.headers
        for raw_name, raw_value in message.raw_headers:
            size += len(raw_name) + len(raw_value)
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            if name in headers:
                self.repeated |= {name}
                value = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}"
            headers[name] = value
        self.head_size = size
        self._body = body
        self._ask_for_body = ask_for_body
        self._arrived = b""

    @property
    def complete(self) -> bool:
        """All of the body has arrived."""
        return self._body.is_eof() and self._body.exception() is None

    @property
    def gone(self) -> bool:
        """It will not: the client went away, or what it sent is broken."""
        return self._body.exception() is not None

    def take(self) -> bytes:
        """What has arrived of the body since this was last called."""
        arrived, self._arrived = self._arrived, b""
        if self._body.exception() is None:
            arrived += self._body.read_nowait()
        return arrived

    async def more(self) -> None:
        """Return when there is more to take, or the body is complete, or the client gone."""
        if self._arrived or self._body.is_eof() or self.gone:
            return
        self._ask_for_body()
        try:
            self._arrived = await self._body.readany()
        except Exception:
            if not self.gone:
                raise


def _decoded(path: str) -> str:
    return "%2F".join(unquote(part) for part in _SLASH.split(path))


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer.

    Attributes:
        status: Its status.
        content: Its body.
        media_type: The body's media type.
        headers: More headers.
    """

    status: int
    content: bytes = b""
    media_type: bytes = b"application/json"
    headers: Headers = ()

    def encode(self, date: bytes, *, close: bool = False, head_only: bool = False) -> bytes:
        """As it is sent, in one piece.

        Args:
            date: The header Date.
            close: The connection is closed after it.
            head_only: It answers HEAD.

        Raises:
            ValueError: A header holds what would end it.
        """
        more = b""
        for name, value in self.headers:
            if _NO_HEADER.search(name + value):
                raise ValueError(f"this cannot be a header: {name!r}: {value!r}")
            more += b"%b: %b\r\n" % (name, value)
        if self.content:
            more += b"content-type: %b\r\n" % self.media_type
        if self.status != HTTPStatus.NO_CONTENT:
            more += b"content-length: %d\r\n" % len(self.content)
        return b"%bdate: %b\r\n%b%b\r\n%b" % (
            _STATUS_LINES[self.status],
            date,
            more,
            b"connection: close\r\n" if close else b"",
            b"" if head_only else self.content,
        )


Application = Callable[[HttpRequest], Awaitable[HttpAnswer | None]]
"""Answers a request; None where the client went away."""


def problem(status: HTTPStatus, detail: str, *headers: tuple[bytes, bytes]) -> HttpAnswer:
    """A refusal (RFC 9457).

    Args:
        status: The status.
        detail: What is wrong, for the client.
        headers: More headers.
    """
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
    return HttpAnswer(status, json.dumps(body).encode(), b"application/problem+json", headers)
