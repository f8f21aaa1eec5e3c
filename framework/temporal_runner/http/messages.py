"""A request as it arrives, and an answer as it is sent."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

Headers = tuple[tuple[bytes, bytes], ...]
_PHRASES = {one.value: one.phrase for one in HTTPStatus}
_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode()
    for status in range(200, 600)
}
_NO_HEADER = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What would end a header, or more."""


class Sender(Protocol):
    """Where a request comes from."""

    def ask_for_body(self, request: HttpRequest) -> None:
        """See to it that more of a request's body comes."""


class HttpRequest:
    """A request whose head has arrived; its body may still be coming.

    Attributes:
        method: Such as POST.
        path: Without the query, percent-decoded.
        query_string: What stands behind the `?`.
        headers: By lower-case name; of one that is there several times the last.
        complete: All of the body has arrived.
        gone: It will not: the client went away, or what it sent is broken.
    """

    __slots__ = (
        "_arrived",
        "_more",
        "_sender",
        "answered",
        "begun",
        "buffered",
        "complete",
        "gone",
        "headers",
        "keep_alive",
        "method",
        "path",
        "query_string",
    )

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.headers: dict[str, str] = {}
        self.method = self.path = ""
        self.query_string = b""
        self.complete = self.gone = False
        # For its connection: some of the body came; it is answered; another request may follow;
        # how many bytes of the body are here and not taken.
        self.begun = self.answered = False
        self.keep_alive = True
        self.buffered = 0
        self._arrived: list[bytes] = []
        self._more: asyncio.Future[None] | None = None

    def take(self) -> bytes:
        """What has arrived of the body since this was last called."""
        arrived, self._arrived = self._arrived, []
        self.buffered = 0
        return arrived[0] if len(arrived) == 1 else b"".join(arrived)

    async def more(self) -> None:
        """Return when there is more to take, or the body is complete, or the client gone."""
        if self._arrived or self.complete or self.gone:
            return
        self._sender.ask_for_body(self)
        self._more = asyncio.get_running_loop().create_future()
        await self._more

    # For its connection.

    def add(self, piece: bytes) -> None:
        """A piece of the body came."""
        self.begun = True
        self._arrived.append(piece)
        self.buffered += len(piece)
        self._wake()

    def end(self, *, gone: bool = False) -> None:
        """No more will come."""
        self.gone = gone
        self.complete = not gone
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)


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
