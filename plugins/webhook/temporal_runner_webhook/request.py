"""A request as it arrives: its headers, its body within bounds, and how it is refused."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Collection, ItemsView, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from temporal_runner.plugin import HttpRequest
from temporal_runner.plugin import parse_json as read_json

_MAX_FIELDS = 1000
"""Fields of a form."""
_MAX_PARAMETERS = 100
"""Parameters of a URL."""
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """A request that is answered with a problem body.

    Attributes:
        status: The answer's status.
        detail: What is wrong, for the sender. No secrets.
        headers: More headers of the answer.
    """

    status: HTTPStatus
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


def unauthorized(detail: str, challenge: str = "") -> Refusal:
    """401; the challenge says how to authenticate."""
    headers = ((b"www-authenticate", challenge.encode()),) if challenge else ()
    return Refusal(HTTPStatus.UNAUTHORIZED, detail, headers)


def too_large(most: int) -> Refusal:
    """413."""
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {most} bytes")


def unsupported(detail: str) -> Refusal:
    """415."""
    return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)


def bad(detail: str) -> Refusal:
    """400."""
    return Refusal(HTTPStatus.BAD_REQUEST, detail)


class Single(Mapping[str, str]):
    """Headers of which some stand there several times: whoever asks for one of those is refused.

    Which of two signatures, or of two IDs, is meant would be a guess, and two readers may guess
    differently.
    """

    def __init__(self, headers: Mapping[str, str], repeated: Collection[str]) -> None:
        """Take the headers of a request.

        Args:
            headers: By lower-case name.
            repeated: The names of those that stand there several times.
        """
        self._headers = headers
        self._repeated = repeated

    def __getitem__(self, name: str) -> str:
        if name in self._repeated:
            raise bad(f"the header {name} stands there more than once")
        return self._headers[name]

    def __contains__(self, name: object) -> bool:
        return name in self._headers

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)

    def items(self) -> ItemsView[str, str]:
        """All of them, to be shown; values of one name are joined."""
        return self._headers.items()


class Request:
    """A request whose body has arrived.

    Attributes:
        headers: By lower-case name; see `Single` for those that stand there several times.
        query_string: As it was sent.
        body: As it was sent, still compressed: what signatures are over.
        media_type: The body's, without its parameters.
    """

    __slots__ = ("body", "headers", "media_type", "query_string")

    def __init__(self, headers: Mapping[str, str], query_string: bytes, body: bytes) -> None:
        self.headers = headers
        self.query_string = query_string
        self.body = body
        self.media_type = headers.get("content-type", "").partition(";")[0].strip().lower()

    def query(self, name: str) -> str:
        """A parameter of the URL, or empty.

        Raises:
            Refusal: There are too many.
        """
        text = self.query_string.decode("latin-1")
        try:
            values = parse_qs(text, max_num_fields=_MAX_PARAMETERS)
        except ValueError:
            raise bad(f"the URL has more than {_MAX_PARAMETERS} parameters") from None
        return values.get(name, [""])[0]


async def read_body(
    request: HttpRequest, *, most: int, within: float, hold: Callable[[int], None]
) -> bytes | None:
    """Receive a body.

    Args:
        request: Whose.
        most: Bytes that it may have.
        within: Seconds that it may take.
        hold: Told of each piece's bytes; raises where there is no room for them.

    Returns:
        The raw body; None where the sender went away.

    Raises:
        Refusal: It is too large or too slow, or there is no room.
    """
    body = request.take()
    if not request.complete:
        return await _rest_of(request, body, most, within, hold)
    if len(body) > most:
        raise too_large(most)
    hold(len(body))
    return body


async def _rest_of(
    request: HttpRequest, first: bytes, most: int, within: float, hold: Callable[[int], None]
) -> bytes | None:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large(most)
    pieces = [first]
    size = len(first)
    hold(size)
    try:
        async with asyncio.timeout(within):
            while not request.complete:
                await request.more()
                if request.gone:
                    return None
                pieces.append(request.take())
                size += len(pieces[-1])
                if size > most:
                    raise too_large(most)
                hold(len(pieces[-1]))
    except TimeoutError:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time") from None
    return b"".join(pieces)


def expand(request: Request, most: int) -> bytes:
    """The body without its compression, `most` bytes at most.

    Raises:
        Refusal: It would be larger, is broken, or is compressed in another way than by gzip.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"identity", ""}:
        return request.body
    if encoding not in {"gzip", "x-gzip"}:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body may be compressed by gzip, and by nothing else",
            ((b"accept-encoding", b"gzip"),),
        )
    gzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        body = gzip.decompress(request.body, most + 1)
    except zlib.error:
        raise bad("the body is not gzip, though its Content-Encoding says so") from None
    if len(body) > most:
        raise too_large(most)
    if not gzip.eof or gzip.unused_data:
        raise bad("the body is not one whole gzip stream")
    return body


def parse_json(body: bytes) -> Any:
    """The value of a JSON body.

    Raises:
        Refusal: It is not JSON, or nested too deep.
    """
    try:
        return read_json(body)
    except ValueError as error:
        raise bad(f"the body is not JSON: {error}") from None


def parse_form(body: bytes) -> dict[str, Any]:
    """The fields of a form; one that is there several times has a list.

    Raises:
        Refusal: It is not a form in UTF-8, or has too many fields.
    """
    try:
        fields = parse_qs(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise bad(
            f"the body is not a form: name=value&… in UTF-8, with {_MAX_FIELDS} fields at most"
        ) from None
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def is_json(media_type: str) -> bool:
    """Whether a media type is JSON's, or one that is written in JSON."""
    return media_type == "application/json" or media_type.endswith("+json")
