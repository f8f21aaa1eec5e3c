"""What of a request is taken, and how each other one is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.webhook.support import OPEN, check_problem, listening, parse_raw


async def test_json_body_becomes_the_events_data() -> None:
    """A POST with a JSON body is one event: the path its source, the body's type its type."""
    async with listening() as hooks:
        answer = await hooks.post({"type": "order.placed", "order": "A-1"}, x_tenant="blue")
    assert answer.status_code == 202
    assert hooks.event.data == {"type": "order.placed", "order": "A-1"}
    assert (hooks.event.source, hooks.event.type) == ("/hooks", "order.placed")
    assert hooks.event.datacontenttype == "application/json"
    assert hooks.event.time is not None
    assert hooks.event.extensions["headers"]["x-tenant"] == "blue"


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "application/ld+json"])
async def test_media_types_that_are_json(media_type: str) -> None:
    """Parameters and the suffix +json do not keep a JSON body out."""
    async with listening() as hooks:
        assert (await hooks.post({}, content_type=media_type)).status_code == 202


async def test_the_same_body_is_the_same_event() -> None:
    """Where the sender gives no ID the ID is of the body: the same again is the same event."""
    async with listening() as hooks:
        for body in (b'{"order": 1}', b'{"order": 1}', b'{"order": 2}'):
            await hooks.post(body)
    first, second, third = (event.id for event in hooks.events)
    assert first == second != third


async def test_a_header_of_the_config_becomes_the_id_and_the_type() -> None:
    """`id_header` and `type_header` name the headers that are the event's id and type."""
    async with listening(OPEN, id_header="X-Event-Id", type_header="X-Kind") as hooks:
        answer = await hooks.post({}, x_event_id="evt-7", x_kind="refund")
        assert answer.status_code == 202
        check_problem(await hooks.post({}, x_kind="refund"), 400, "x-event-id is missing")
    assert (hooks.event.id, hooks.event.type) == ("evt-7", "refund")


async def test_wrong_path() -> None:
    """Another path is 404."""
    async with listening() as hooks:
        check_problem(await hooks.http.post(hooks.url + "/more", content=b"{}"), 404)
    assert not hooks.events


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_wrong_method(method: str) -> None:
    """Another method than POST is 405, and the answer says which is allowed."""
    async with listening() as hooks:
        answer = await hooks.http.request(method, hooks.url)
    check_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "multipart/form-data"])
async def test_wrong_media_type(media_type: str) -> None:
    """A body that is not what the listener takes is 415."""
    async with listening() as hooks:
        check_problem(await hooks.post("{}", content_type=media_type), 415)


async def test_invalid_utf8() -> None:
    """A body that is not UTF-8 is 400."""
    async with listening() as hooks:
        check_problem(await hooks.post(b'{"name": "\xff\xfe"}'), 400, "not JSON")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"order=1", b'{"a": 1} {"b": 2}', b'{"a": NaN}', b'"\\ud800"'],
    ids=["empty", "open", "form", "two", "nan", "surrogate"],
)
async def test_invalid_json(body: bytes) -> None:
    """A body that is not JSON is 400."""
    async with listening() as hooks:
        check_problem(await hooks.post(body), 400, "not JSON")


async def test_deep_nesting() -> None:
    """100,000 brackets are 400, and the listener goes on."""
    async with listening() as hooks:
        check_problem(await hooks.post(b"[" * 100_000 + b"]" * 100_000), 400, "recursion")
        assert (await hooks.post({})).status_code == 202


async def test_body_at_the_limit() -> None:
    """A body of exactly max_body is taken, one byte more is 413."""
    async with listening(OPEN, max_body=100) as hooks:
        assert (await hooks.post(json.dumps("x" * 98))).status_code == 202
        check_problem(await hooks.post(json.dumps("x" * 99)), 413, "100 bytes")


async def test_content_length_over_the_limit_is_refused_unread() -> None:
    """A body announced as too large is refused before any of it is sent."""
    async with listening() as hooks:
        head = b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: 10485760\r\n\r\n"
        started = time.monotonic()
        reader, writer = await asyncio.open_connection(hooks.host, hooks.port)
        writer.write(head)
        answer = parse_raw(await reader.readuntil(b"}"))
        writer.close()
    check_problem(answer, 413)
    assert time.monotonic() - started < 3


async def test_ten_mebibytes_get_their_answer() -> None:
    """A sender that pushes 10 MiB before it reads does read its 413, not a reset connection."""
    async with listening() as hooks:
        check_problem(await hooks.post(b"x" * 10 * 1024 * 1024), 413)


async def _chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def test_chunked_body_over_the_limit() -> None:
    """A chunked body, whose length nobody announced, is 413 once it passes the limit."""
    async with listening(OPEN, max_body="64KiB") as hooks:
        answer = await hooks.http.post(hooks.url, content=_chunks(20, 8192))
    check_problem(answer, 413)


async def _send_for_ever(writer: asyncio.StreamWriter, chunk: bytes) -> None:
    """Return when the other side has closed the connection."""
    with contextlib.suppress(OSError):
        while True:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)


async def test_endless_chunked_body() -> None:
    """A chunked body without end is answered 413 at the limit, and its connection soon closed."""
    async with listening(OPEN, max_body="64KiB") as hooks:
        reader, writer = await asyncio.open_connection(hooks.host, hooks.port)
        writer.write(b"POST /hooks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        answering = asyncio.create_task(reader.readuntil(b"}"))
        async with asyncio.timeout(20):
            await _send_for_ever(writer, b"2000\r\n" + b"x" * 8192 + b"\r\n")
        check_problem(parse_raw(await answering), 413)
        writer.close()


async def test_slow_body() -> None:
    """A body that does not arrive within body_timeout is 408 and its connection closed."""
    async with listening(OPEN, body_timeout="200ms") as hooks:
        answer = await hooks.raw(b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    check_problem(parse_raw(answer), 408)
    assert not hooks.events


async def test_sender_that_goes_away() -> None:
    """A sender that ends its connection within the body leaves nothing behind."""
    async with listening() as hooks:
        _, writer = await asyncio.open_connection(hooks.host, hooks.port)
        writer.write(b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        await writer.drain()
        writer.close()
        assert (await hooks.post({})).status_code == 202
    assert len(hooks.events) == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 hello\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /hooks HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_http(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are no sound HTTP get a problem body too."""
    async with listening() as hooks:
        check_problem(parse_raw(await hooks.raw(sent)), 400)
    assert "Traceback" not in caplog.text


async def test_keep_alive() -> None:
    """One connection carries many requests, refused ones among them."""
    async with listening() as hooks:
        for body in (b"{}", b"{", b"{}"):
            await hooks.post(body)
        pool = hooks.http._transport._pool  # type: ignore[attr-defined]
        assert len(pool.connections) == 1


async def test_unexpected_failure_is_a_problem_too(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours is a 500 with a problem body that tells nothing of the inside."""

    async def settle(delivery: object) -> None:
        raise KeyError("inside")

    async with listening(settle=settle) as hooks:
        answer = await hooks.post({})
    check_problem(answer, 500)
    assert "inside" not in answer.text
    assert "inside" in caplog.text


async def test_many_at_once() -> None:
    """200 requests at once are 200 events."""
    async with listening() as hooks:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(limits=limits, timeout=30, trust_env=False) as http:
            answers = await asyncio.gather(
                *(http.post(hooks.url, json={"order": number}) for number in range(200))
            )
    assert {answer.status_code for answer in answers} == {202}
    assert len({event.id for event in hooks.events}) == 200
