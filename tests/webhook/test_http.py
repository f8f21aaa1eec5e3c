"""HTTP/1.1 as it is spoken on the wire: what is ambiguous, broken, sent ahead, or asked first."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from temporal_runner.plugin import HttpAnswer, HttpRequest, HttpServer
from tests.webhook.support import OPEN, Listening, check_problem, listening, parse_raw

HEAD = b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def post(body: bytes, more: bytes = b"") -> bytes:
    """A sound request."""
    return HEAD + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def send_in_pieces(hooks: Listening, *pieces: bytes) -> bytes:
    """All that comes back for these, each sent by itself."""
    reader, writer = await asyncio.open_connection(hooks.host, hooks.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.05)  # two pieces arrive as two
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def serving(app: object, **options: object) -> AsyncIterator[HttpServer]:
    server = HttpServer(app, host="127.0.0.1", port=0, **options)  # type: ignore[arg-type]
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


# Requests that two readers may read differently. --------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        HEAD + b"Content-Length: 2, 3\r\n\r\n{}x",
        HEAD + b"Content-Length: +2\r\n\r\n{}",
        HEAD + b"Content-Length : 2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
        HEAD + b"X-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"X-Null: a\0b\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"X-Bare: a\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"X-Return: a\rContent-Length: 2\r\n\r\n{}",
        b"POST /hooks HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}",
        b"POST /hooks HTTP/2.0\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /hooks /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_ambiguous_requests(sent: bytes) -> None:
    """What another reader might cut into requests elsewhere is 400, and nothing of it an event."""
    async with listening() as hooks:
        answer = await hooks.raw(sent + post(b'{"smuggled": true}'))
        assert answer.count(b"HTTP/1.1 ") == 1, answer
        check_problem(parse_raw(answer), 400)
        assert not hooks.events
        assert (await hooks.post({})).status_code == 202


async def test_trailers_change_no_header() -> None:
    """A header behind the body is not believed: it came after the head was."""
    trailers = b"x-tenant: red\r\ncontent-type: text/plain\r\n"
    body = b"Transfer-Encoding: chunked\r\nX-Tenant: blue\r\n\r\n2\r\n{}\r\n0\r\n" + trailers
    async with listening() as hooks:
        answer = await hooks.raw(HEAD + b"Connection: close\r\n" + body + b"\r\n")
    assert parse_raw(answer).status_code == 202
    assert hooks.event.extensions["headers"]["x-tenant"] == "blue"
    assert hooks.event.datacontenttype == "application/json"


@pytest.mark.parametrize("apart", [False, True])
async def test_nothing_is_taken_behind_connection_close(apart: bool) -> None:
    """What follows a request that is the last by its own word is no event.

    Where it comes in one piece with that request aiohttp refuses both: whoever says `close` must
    not send more (RFC 9112, 9.6).
    """
    async with listening() as hooks:
        last, more = post(b'{"n": 1}', b"Connection: close\r\n"), post(b'{"n": 2}')
        answer = await send_in_pieces(hooks, *([last, more] if apart else [last + more]))
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"connection: close\r\n" in answer
        if apart:
            assert hooks.event.data == {"n": 1}
        else:
            check_problem(parse_raw(answer), 400, "close")
            assert not hooks.events


@pytest.mark.parametrize("apart", [False, True])
async def test_answers_stay_in_order_when_something_is_wrong(apart: bool) -> None:
    """What is wrong with a request sent ahead is said after the answers that are due before it.

    Where all of it comes in one piece aiohttp takes none of it: nothing is accepted in silence.
    """
    async with listening() as hooks:
        sent = [post(b'{"n": 1}') + post(b'{"n": 2}'), b"\0\0\0"]
        answer = await send_in_pieces(hooks, *(sent if apart else [b"".join(sent)]))
        statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answer)]
        assert statuses == ([202, 202, 400] if apart else [400])
        assert len(hooks.events) == (2 if apart else 0)


async def test_body_that_breaks_under_way() -> None:
    """A body whose next chunk is none is 400 at once, and no event."""
    async with listening(OPEN, body_timeout="30s") as hooks:
        reader, writer = await asyncio.open_connection(hooks.host, hooks.port)
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)  # two pieces arrive as two
        writer.write(b"x\r\n")
        async with asyncio.timeout(5):
            check_problem(parse_raw(await reader.read()), 400)
        writer.close()
        assert not hooks.events


# What is asked first, and what is left out. -------------------------------------------------------


async def test_expect_continue() -> None:
    """A client that asks whether to send its body is told so, unless it would be too large."""
    ask = b"Expect: 100-continue\r\nConnection: close\r\n"
    async with listening(OPEN, max_body=100) as hooks:
        reader, writer = await asyncio.open_connection(hooks.host, hooks.port)
        writer.write(HEAD + ask + b"Content-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert parse_raw(await reader.read()).status_code == 202
        writer.close()
        answer = await hooks.raw(HEAD + ask + b"Content-Length: 1000\r\n\r\n")
    check_problem(parse_raw(answer), 413)


async def test_head_has_no_body() -> None:
    """HEAD is answered with the head alone."""
    async with listening() as hooks:
        answer = await hooks.raw(b"HEAD /hooks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405")
    assert b"content-length: 0" not in head
    assert body == b""


async def test_http_1_0() -> None:
    """A client of HTTP/1.0 is answered, and its connection closed."""
    async with listening() as hooks:
        answer = await hooks.raw(post(b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert parse_raw(answer).status_code == 202
    assert b"connection: close" in answer


async def test_target_with_a_host() -> None:
    """A target in absolute form, as proxies send it, is its path."""
    async with listening() as hooks:
        sent = post(b"{}", b"Connection: close\r\n").replace(b"/hooks", b"http://x:1/hooks?a=b")
        assert parse_raw(await hooks.raw(sent)).status_code == 202


async def test_every_answer_has_a_date() -> None:
    """An origin server with a clock sends Date."""
    async with listening() as hooks:
        answer = await hooks.post({})
    assert answer.headers["date"].endswith(" GMT")


# The application's side. --------------------------------------------------------------------------


async def test_answer_that_would_hold_two() -> None:
    """A header that would end the head is a 500, and not a second answer."""

    async def app(request: HttpRequest) -> HttpAnswer:
        return HttpAnswer(200, headers=((b"x-told", b"a\r\n\r\nHTTP/1.1 200 OK"),))

    async with serving(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert answer.count(b"HTTP/1.1 ") == 1
    check_problem(parse_raw(answer), 500)


async def test_body_that_nobody_takes_has_to_wait() -> None:
    """While an application takes nothing of a body, hardly more of it is read than a buffer."""
    go_on = asyncio.Event()
    found: list[int] = []

    async def app(request: HttpRequest) -> HttpAnswer:
        await go_on.wait()
        size = len(request.take())
        found.append(size)
        while not (request.complete or request.gone):
            await request.more()
            size += len(request.take())
        return HttpAnswer(200, b"%d" % size)

    async with serving(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        size = 64 * 1024 * 1024
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(b"x" * size)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await writer.drain()
        go_on.set()
        assert (await reader.readuntil(b"%d" % size)).startswith(b"HTTP/1.1 200")
        writer.close()
    assert found[0] < 1024 * 1024


async def test_answers_that_nobody_reads_are_not_made() -> None:
    """Of requests sent ahead no more are carried out than their client reads the answers of."""
    asked = 0

    async def app(request: HttpRequest) -> HttpAnswer:
        nonlocal asked
        asked += 1
        return HttpAnswer(200, b"x" * 1_000_000)

    async with serving(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 45)
        await asyncio.sleep(0.3)  # what it must not do takes time
        assert 0 < asked < 20
        before = asked
        for _ in range(before + 20):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(1_000_000)
        assert asked > before
        writer.transport.abort()


async def test_stop_answers_what_is_under_way_and_closes_the_rest() -> None:
    """Idle connections end at once, a request in flight is answered as its connection's last."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def app(request: HttpRequest) -> HttpAnswer:
        arrived.set()
        await go_on.wait()
        return HttpAnswer(200, b"{}")

    async with serving(app, keep_alive=60, header_timeout=60) as server:
        idle, silent = await asyncio.open_connection("127.0.0.1", server.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await arrived.wait()
        stopping = asyncio.create_task(server.stop())
        async with asyncio.timeout(5):
            assert await idle.read() == b""
            go_on.set()
            answer = await reader.read()
            await stopping
        assert b"connection: close" in answer
        for one in (silent, writer):
            one.close()


async def test_stop_waits_no_longer_than_it_may() -> None:
    """What is not answered within `drain` is cancelled."""
    cancelled = asyncio.Event()
    arrived = asyncio.Event()

    async def app(request: HttpRequest) -> HttpAnswer:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("never")

    async with serving(app, drain=0.2) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await arrived.wait()
        async with asyncio.timeout(5):
            await server.stop()
        assert cancelled.is_set()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


# Other people's clients. --------------------------------------------------------------------------


async def test_the_standard_librarys_client() -> None:
    """http.client sends head and body apart, and keeps its connection."""
    async with listening() as hooks:

        def send() -> list[int]:
            client = http.client.HTTPConnection(hooks.host, hooks.port, timeout=10)
            statuses = []
            for number in range(5):
                body = json.dumps({"n": number, "text": "x" * 100_000})
                client.request("POST", "/hooks", body, {"content-type": "application/json"})
                answer = client.getresponse()
                answer.read()
                statuses.append(answer.status)
            client.close()
            return statuses

        assert await asyncio.to_thread(send) == [202] * 5
    assert [event.data["n"] for event in hooks.events] == [0, 1, 2, 3, 4]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "more", [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"], ["--http2"]]
)
async def test_curl(more: list[str]) -> None:
    """curl, with a body of known and of unknown length, asking first, and asking for HTTP/2."""
    async with listening() as hooks:
        body = json.dumps({"text": "x" * 300_000})
        command = ["curl", "-sS", "-i", "-m", "10", hooks.url, "--data-binary", "@-", *more]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, "-H", "Content-Type: application/json"],
            input=body.encode(),
            capture_output=True,
            check=True,
        )
    assert b"HTTP/1.1 202" in done.stdout
    assert len(hooks.event.data["text"]) == 300_000


async def test_slow_tls_handshake(tmp_path: Path) -> None:
    """A client that connects to an HTTPS port and does not shake hands is cut off as well."""
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")

    async def app(request: HttpRequest) -> HttpAnswer:
        return HttpAnswer(200)

    cert_path = str(tmp_path / "both.pem")
    async with serving(app, cert_path=cert_path, header_timeout=0.3) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                assert await reader.read() == b""
        writer.close()
