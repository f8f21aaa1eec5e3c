"""What a client may put on the wire: one table of requests and their answers, and what is bounded.

The table is printed at the end of the run. What a row sends goes over a raw socket, piece by piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import httpx
import pytest
import trustme
from aiohttp import web

from temporal_runner.http import connection, handover, wire
from temporal_runner.plugin import HttpAnswer, HttpRequest, HttpServer
from tests.support import free_port
from tests.webhook.support import SECRET, check_problem, listening, parse_raw, sign_github

LINE = b"POST /a/b HTTP/1.1\r\n"
LINE_1_0 = b"POST /a/b HTTP/1.0\r\n"
HOST = b"Host: x\r\n"
HEAD = LINE + HOST
BODY = b"Content-Length: 2\r\n\r\n{}"
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GZIPPED = b"Transfer-Encoding: gzip, chunked\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIA\r\n"
LARGE = b"".join(b"X-%d: %b\r\n" % (one, b"x" * 990) for one in range(100))


@dataclass
class Seen:
    """An application that keeps what it was asked, and what of it came in time."""

    requests: list[HttpRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, request: HttpRequest) -> HttpAnswer | None:
        body = request.take()
        try:
            async with asyncio.timeout(0.5):
                while not request.complete:
                    await request.more()
                    if request.gone:
                        return None
                    body += request.take()
        except TimeoutError:
            return HttpAnswer(408)
        self.requests.append(request)
        self.bodies.append(body)
        return HttpAnswer(200, b"x" * int(request.query_string or 0))


@contextlib.asynccontextmanager
async def serving(seen: Seen, **options: float) -> AsyncIterator[int]:
    settings = {"keep_alive": 0.5, "header_timeout": 0.5, **options}
    port = free_port()
    server = HttpServer(seen, host="127.0.0.1", port=port, path="/a/b", **settings)  # type: ignore[arg-type]
    await server.start()
    try:
        yield port
    finally:
        await server.stop()


async def talk(port: int, *pieces: bytes, end: bool = False, every: float = 0.03) -> bytes:
    """Send pieces, and perhaps that there are no more; all that comes back, until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(every)  # two pieces arrive as two
            if end:
                writer.write_eof()
        came = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                while piece := await reader.read(65536):
                    came += piece
        return came
    finally:
        writer.transport.abort()


@dataclass(frozen=True)
class Row:
    """What is sent, what is answered, and how many requests of it are carried out."""

    name: str
    pieces: tuple[bytes, ...]
    answers: str
    taken: int = 0
    end: bool = False


TABLE = [
    Row("sound", (HEAD + BODY,), "200", 1),
    Row("no Host", (LINE + BODY,), "400"),
    Row("no Host, HTTP/1.0", (LINE_1_0 + BODY,), "200", 1),
    Row("two Hosts", (HEAD + HOST + BODY,), "400"),
    Row("length and chunks", (HEAD + CHUNKED + b"Content-Length: 2\r\n\r\n0\r\n\r\n",), "400"),
    Row("two lengths, the same", (HEAD + b"Content-Length: 2\r\n" + BODY,), "400"),
    Row("two lengths", (HEAD + b"Content-Length: 3\r\n" + BODY,), "400"),
    Row("bare LF", (HEAD + b"X: a\n" + BODY,), "400"),
    Row("bare LF in chunks", (HEAD + CHUNKED + b"\r\n2\n{}\n0\n\n",), "400"),
    Row("folded header", (HEAD + b"X: a\r\n b\r\n" + BODY,), "400"),
    Row("chunk extensions", (HEAD + CHUNKED + b"\r\n2;a=b\r\n{}\r\n0;c\r\n\r\n",), "200", 1),
    Row("chunks apart", (HEAD + CHUNKED + b"\r\n", b"2\r\n{}", b"\r\n0\r\n", b"\r\n"), "200", 1),
    Row("100-continue", (HEAD + b"Expect: 100-continue\r\n" + BODY[:-2], b"{}"), "100 200", 1),
    Row("100-continue, body sent", (HEAD + b"Expect: 100-continue\r\n" + BODY,), "200", 1),
    Row("pipelined 50", ((HEAD + BODY) * 50,), " ".join(["200"] * 50), 50),
    Row("TE: gzip, chunked", (HEAD + GZIPPED + b"\r\n0\r\n\r\n",), "400"),
    Row("TE: chunked, HTTP/1.0", (LINE_1_0 + CHUNKED + b"\r\n0\r\n\r\n",), "400"),
    Row("head of 100 KB", (HEAD + LARGE + BODY,), "431"),
    Row("head of 100 KB in pieces", (HEAD, LARGE[:70_000], LARGE[70_000:], BODY), "431"),
    Row("one header of 100 KB", (HEAD + b"X: " + b"x" * 100_000 + b"\r\n" + BODY,), "431"),
    Row("200 headers", (HEAD + b"X: x\r\n" * 200 + BODY,), "431"),
    Row("HTTP/2.0", ((HEAD + BODY).replace(b"HTTP/1.1", b"HTTP/2.0"),), "400"),
    Row("preface of HTTP/2", (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",), "400"),
    Row("TLS to a plain port", (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",), "400"),
    Row("h2c", (HEAD + H2C + BODY, HEAD + BODY), "200 200", 2),
    Row("h2c, body apart", (HEAD + H2C + BODY[:-2], b"{}", HEAD + BODY), "200 200", 2),
    Row("h2c, another in the same piece", (HEAD + H2C + BODY + HEAD + BODY,), "200", 1),
    Row("h2c, bare LF", (HEAD + H2C + b"X: a\n" + BODY,), "400"),
    Row("h2c, HTTP/2.0", ((HEAD + H2C + BODY).replace(b"HTTP/1.1", b"HTTP/2.0"),), "400"),
    Row("h2c, two lengths", (HEAD + H2C + b"Content-Length: 3\r\n" + BODY,), "400"),
    Row("websocket", (HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + BODY,), "200", 1),
    Row("CONNECT", (b"CONNECT e:443 HTTP/1.1\r\nHost: e:443\r\n\r\n",), "400"),
    Row("/a%2fb", ((HEAD + BODY).replace(b"/a/b", b"/a%2fb"),), "404"),
    Row("/%61/b", ((HEAD + BODY).replace(b"/a/b", b"/%61/b"),), "200", 1),
    Row("/a/../a/b", ((HEAD + BODY).replace(b"/a/b", b"/a/../a/b"),), "404"),
    Row("half-closed", (HEAD + BODY,), "200", 1, end=True),
    Row("half-closed, pipelined", ((HEAD + BODY) * 5,), "200 200 200 200 200", 5, end=True),
    Row("half-closed in its head", (HEAD,), "", end=True),
    Row("half-closed in its body", (HEAD + BODY[:-1],), "", end=True),
    Row("slow head", (b"POST", b" /a", *[b"x"] * 30), "408"),
    Row("slow body", (HEAD + b"Content-Length: 9\r\n\r\n", *[b"x"] * 5), "408"),
    Row("nothing at all", (), "408"),
    Row("empty lines", (b"\r\n\r\n" + HEAD + BODY + b"\r\n\r\n", HEAD + BODY), "200 200", 2),
    Row("broken chunk", (HEAD + CHUNKED + b"\r\n1\r\n{\r\n", b"x\r\n"), "400"),
    Row("broken behind a sound one", (HEAD + BODY, b"\0\0"), "200 400", 1),
    Row("trailer", (HEAD + CHUNKED + b"\r\n0\r\nX-Late: 1\r\n\r\n", HEAD + BODY), "200", 1),
    Row("more behind close", (HEAD + CLOSE + BODY, HEAD + BODY), "200", 1),
]  # fmt: skip


async def test_table_of_answers(figure: Callable[[str, object], None]) -> None:
    """Each row is answered so, and no more of it is carried out."""
    seen = [Seen() for _ in TABLE]

    async def one(row: Row, seen: Seen) -> tuple[str, int]:
        async with serving(seen) as port:
            came = await talk(port, *row.pieces, end=row.end)
        statuses = re.findall(rb"HTTP/1\.1 (\d+)", came)
        return " ".join(status.decode() for status in statuses), len(seen.requests)

    found = await asyncio.gather(*map(one, TABLE, seen))
    for row, (answers, taken) in zip(TABLE, found, strict=True):
        shown = answers if len(answers) < 40 else f"{answers[:3]} x {len(answers.split())}"
        figure(f"{row.name:32}", f"{shown or 'closed':12} carried out: {taken}")
    expected = [(row.name, (row.answers, row.taken)) for row in TABLE]
    assert list(zip([row.name for row in TABLE], found, strict=True)) == expected


async def test_refusals_have_problem_bodies() -> None:
    """What is refused on the wire says why (RFC 9457), in aiohttp's words where it found it."""
    async with serving(Seen()) as port:
        check_problem(parse_raw(await talk(port, LINE + BODY)), 400, "Missing 'Host' header")
        two = await talk(port, HEAD + HOST + BODY)
        check_problem(parse_raw(two), 400, "Duplicate 'Host' header")
        check_problem(parse_raw(await talk(port, HEAD + LARGE + BODY)), 431, "65536 bytes")
        check_problem(parse_raw(await talk(port)), 408)


async def test_trailers_are_no_headers_of_the_next_request() -> None:
    """aiohttp takes the last one for that (3.14.5): the connection ends with such a request."""
    late = HEAD + CHUNKED + b"\r\n2\r\n{}\r\n0\r\nX-Late: 1\r\nAuthorization: mine\r\n\r\n"
    seen = Seen()
    async with serving(seen) as port:
        assert b"connection: close" in await talk(port, late, HEAD + BODY)
        assert b"connection: close" in await talk(port, late + HEAD + BODY)
        sound = HEAD + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n"
        assert (await talk(port, sound, sound, HEAD + BODY)).count(b"200 OK") == 3
    assert len(seen.requests) == 5
    assert not any({"x-late", "authorization"} & one.headers.keys() for one in seen.requests)


async def test_an_answer_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is dropped, and the next request on it is not carried out."""
    monkeypatch.setattr(wire, "UNREAD", 0.3)
    seen = Seen()
    async with serving(seen) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write((HEAD + BODY).replace(b"/b ", b"/b?50000000 ") * 2)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(5):
            while not writer.transport.is_closing():
                writer.write(b"\r\n")
                await asyncio.sleep(0.05)
        assert len(seen.requests) == 1
        writer.close()


# What is neither head nor body. -------------------------------------------------------------------


def _one_byte_chunks() -> Iterator[bytes]:
    while True:
        yield b"1\r\nx\r\n" * 10_000


def _extensions() -> Iterator[bytes]:
    yield b"1;a="
    while True:
        yield b"x" * 65536


def _trailer() -> Iterator[bytes]:
    yield b"2\r\n{}\r\n0\r\nX-Long: "
    while True:
        yield b"x" * 65536


def _trailers() -> Iterator[bytes]:
    yield b"2\r\n{}\r\n0\r\n"
    while True:
        yield b"X-More: x\r\n" * 5000


def _zeros() -> Iterator[bytes]:
    while True:
        yield b"0" * 65536


@pytest.mark.parametrize(
    "sent",
    [_one_byte_chunks, _extensions, _trailer, _trailers, _zeros],
    ids=lambda one: one.__name__,
)
@pytest.mark.parametrize("turn", ["at once", "behind another"])
async def test_framing_is_bounded(
    sent: Callable[[], Iterator[bytes]], turn: str, figure: Callable[[str, object], None]
) -> None:
    """Whoever sends on and on what is neither head nor body is cut off within a few pieces."""

    async def patient(request: HttpRequest) -> HttpAnswer | None:
        if request.query_string:
            await asyncio.sleep(0.5)
        while not (request.complete or request.gone):
            await request.more()
            request.take()
        return HttpAnswer(200) if request.complete else None

    def flood(port: int) -> int:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            first = HEAD.replace(b"/b ", b"/b?wait ") + BODY if turn != "at once" else b""
            client.sendall(first + HEAD + CHUNKED + b"\r\n")
            size = 0
            with contextlib.suppress(ConnectionError):
                for piece in sent():
                    client.sendall(piece)
                    size += len(piece)
            return size

    server = HttpServer(patient, host="127.0.0.1", port=0)
    await server.start()
    began = time.thread_time()
    async with asyncio.timeout(20):
        size = await asyncio.to_thread(flood, server.port)
    took = time.thread_time() - began
    await server.stop()
    figure(f"{sent.__name__} {turn}: sent before the end", f"{size / 2**20:.1f} MiB, {took:.2f} s")
    assert size < 16 * 2**20
    assert took < 2


async def test_small_chunks_of_a_fair_client() -> None:
    """A long body in chunks of 64 bytes is taken."""
    seen = Seen()
    async with serving(seen) as port:
        chunk = b"40\r\n" + b"x" * 64 + b"\r\n"
        body = chunk * 20_000 + b"0\r\n\r\n"
        assert b"200 OK" in await talk(port, HEAD + CHUNKED + b"\r\n" + body)
    assert len(seen.bodies[0]) == 64 * 20_000


async def test_large_bodies_are_not_taken_for_framing() -> None:
    """A body that waits until there is room for it is no framing, whoever reads how slowly."""

    async def slow(request: HttpRequest) -> HttpAnswer:
        size = 0
        while not request.complete:
            await request.more()
            await asyncio.sleep(0.001)
            size += len(request.take())
        return HttpAnswer(200, b"%d" % size)

    server = HttpServer(slow, host="127.0.0.1", port=0)
    await server.start()
    size = 20_000_000
    sent = HEAD + CLOSE + b"Content-Length: %d\r\n\r\n" % size
    assert b"%d" % size in await talk(server.port, sent + b"x" * size)
    await server.stop()


# Headers that stand there twice. ------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
async def test_a_signature_that_stands_there_twice(order: int) -> None:
    """It is 400, whichever of the two is the right one; so is an ID. Others are joined."""
    options = {"verify": {"scheme": "github", "secrets": [SECRET]}}
    right = sign_github(b"{}")
    wrong = {**right, "X-Hub-Signature-256": "sha256=" + "0" * 64}
    async with listening(options) as hooks:

        async def post(*more: tuple[str, str]) -> httpx.Response:
            headers = [("Content-Type", "application/json"), *right.items(), *more]
            return await hooks.http.post(hooks.url, content=b"{}", headers=headers[::order])

        twice = await post(("X-Hub-Signature-256", wrong["X-Hub-Signature-256"]))
        check_problem(twice, 400, "x-hub-signature-256 stands there more than once")
        check_problem(await post(("X-GitHub-Delivery", "other")), 400, "x-github-delivery")
        assert not hooks.events
        answer = await post(
            ("X-Tag", "a"), ("X-Tag", "b"), ("Traceparent", "1"), ("Traceparent", "2")
        )
        assert answer.status_code == 202
    assert hooks.event.extensions["headers"]["x-tag"] == ("a, b" if order == 1 else "b, a")
    assert "traceparent" not in hooks.event.extensions


async def test_an_attribute_that_stands_there_twice() -> None:
    """CloudEvents in binary mode: which ID is meant would be a guess."""
    async with listening() as hooks:
        headers = [
            *[("ce-specversion", "1.0"), ("ce-type", "t"), ("ce-source", "/s")],
            *[("ce-id", "1"), ("ce-id", "2"), ("content-type", "application/json")],
        ]
        answer = await hooks.http.post(hooks.url, content=b"{}", headers=headers)
    check_problem(answer, 400, "ce-id")


# Descriptors. -------------------------------------------------------------------------------------

CHILD = """
    import asyncio, logging, resource, sys
    from temporal_runner.plugin import HttpAnswer, HttpServer
    from temporal_runner.runtime import loop

    logging.basicConfig(level="WARNING")
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 400))

    async def app(request):
        return HttpAnswer(200, b"alive")

    async def main():
        tls = {"cert_path": sys.argv[1]} if len(sys.argv) > 1 else {}
        hooks = HttpServer(app, host="127.0.0.1", port=0, header_timeout=60, **tls)
        admin = HttpServer(app, host="127.0.0.1", port=0)
        await hooks.start()
        await admin.start()
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        print(hooks.port, admin.port, files, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await hooks.stop()
        await admin.stop()

    loop.run(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize("tls", [False, True])
async def test_silent_connections_leave_the_other_ports_theirs(tls: bool, tmp_path: Path) -> None:
    """1,000 of them at one port do not take /livez away, shaking hands or not; the log says so."""
    arguments = [sys.executable, "-c", textwrap.dedent(CHILD)]
    if tls:
        certificate = trustme.CA().issue_cert("127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
        arguments.append(str(tmp_path / "both.pem"))
    child = await asyncio.create_subprocess_exec(
        *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    hooks, admin, files = map(int, (await child.stdout.readline()).split())
    assert files == 400, "the soft limit is the hard one"
    held = []
    async with asyncio.timeout(30):
        for _ in range(1000):
            held.append(await asyncio.open_connection("127.0.0.1", hooks))
        async with httpx.AsyncClient(trust_env=False) as http:
            for _ in range(20):
                answer = await http.get(f"http://127.0.0.1:{admin}/livez")
                assert answer.text == "alive"
        for _, writer in held:
            writer.transport.abort()
        _, errors = await child.communicate(b"")
    assert child.returncode == 0
    assert errors.count(b"connections are open") == 1, errors
    assert b"Traceback" not in errors


# What aiohttp does not promise. -------------------------------------------------------------------


def test_what_is_used_of_aiohttp_beyond_its_promises() -> None:
    """One private attribute; and no name of ours is one of its own, in this version either."""
    private = {"_request_count"}
    for module, base in ((connection, web.RequestHandler), (handover, web.StreamResponse)):
        made = [vars(one) for one in base.__mro__]
        theirs = {name for one in made for name in (*one, *one.get("__slots__", ()))}
        theirs |= vars(web.Response()).keys() if module is handover else set()
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        ours = set(re.findall(r"self\.(_\w+)", source))
        expected = private if module is connection else set()
        assert ours & theirs == expected, f"aiohttp {aiohttp.__version__} has other names"
