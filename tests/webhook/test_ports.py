"""Ports: shared by listeners with different paths, TLS, slow and idle clients bounded."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from temporal_runner.http import sockets, wire
from temporal_runner.plugin import HttpAnswer, HttpRequest, HttpServer, PermanentError
from tests.support import free_port
from tests.webhook.support import Listening, accept, check_problem, listening, parse_raw


async def _hello(request: HttpRequest) -> HttpAnswer:
    """The smallest application."""
    return HttpAnswer(200, b"hello", b"text/plain")


@contextlib.asynccontextmanager
async def _serving(app: Any = _hello, **options: Any) -> AsyncIterator[HttpServer]:
    server = HttpServer(app, host="127.0.0.1", port=0, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def test_two_listeners_share_a_port() -> None:
    """Each answers at its own path of one port; another path is 404."""
    port = free_port()
    verify = {"scheme": "api_key", "keys": ["the-only-key"]}
    async with (
        listening(port=port, path="/a") as first,
        listening({"verify": verify}, port=port, path="/b") as second,
    ):
        assert (await first.post({})).status_code == 202
        check_problem(await second.post({}), 401)
        assert (await second.post({}, x_api_key="the-only-key")).status_code == 202
        check_problem(await first.http.post(f"http://127.0.0.1:{port}/c", json={}), 404)
    assert (len(first.events), len(second.events)) == (1, 1)
    assert first.event.source == "/a"


async def test_one_of_two_listeners_stops_and_starts() -> None:
    """The other goes on; the path of the one that is away is 503, until it is back."""
    port = free_port()
    async with listening(port=port, path="/a") as first:
        for _ in range(2):
            async with listening(port=port, path="/b") as second:
                assert (await second.post({})).status_code == 202
            gone = await first.http.post(second.url, json={})
            check_problem(gone, 503, "not ready")
            assert "retry-after" in gone.headers
            assert (await first.post({})).status_code == 202


async def test_a_listener_that_is_still_to_come() -> None:
    """Its sender is asked to come again, and not told that there is no such path."""
    port = free_port()
    server = HttpServer(_hello, host="127.0.0.1", port=port, path="/b")
    async with listening(port=port, path="/a") as first:
        url = f"http://127.0.0.1:{port}"
        coming = await first.http.post(f"{url}/b", json={})
        check_problem(coming, 503, "not ready")
        assert "retry-after" in coming.headers
        await server.start()
        assert (await first.http.post(f"{url}/b", json={})).status_code == 200
        await server.stop()


async def test_the_one_that_opened_the_port_stops_first() -> None:
    """The port stays open for the one that joined, and closes with the last."""
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        async with listening(port=port, path="/a"):
            second = await stack.enter_async_context(listening(port=port, path="/b"))
        assert (await second.post({})).status_code == 202
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_listener_that_leaves_a_shared_port_answers_what_is_in_flight() -> None:
    """Requests in flight at its path are answered before it is gone."""
    port = free_port()
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(delivery: Any) -> None:
        arrived.set()
        await go_on.wait()
        await accept(delivery)

    async with (
        listening(port=port, path="/a"),
        listening(settle=slow, port=port, path="/b") as leaving,
    ):
        posting = asyncio.create_task(leaving.post({}))
        await arrived.wait()
        leaving.serving.cancel()
        done, _ = await asyncio.wait({leaving.serving}, timeout=0.2)
        assert not done
        go_on.set()
        assert (await posting).status_code == 202
        await asyncio.wait({leaving.serving}, timeout=5)
        assert leaving.serving.done()


async def test_listeners_that_come_while_the_port_closes_open_it_anew() -> None:
    """Such listeners wait until those who leave have answered, and are not refused the port."""
    port = free_port()
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(delivery: Any) -> None:
        arrived.set()
        await go_on.wait()
        await accept(delivery)

    async def come(path: str) -> int:
        async with listening(port=port, path=path) as coming:
            return (await coming.post({})).status_code

    async with listening(settle=slow, port=port, path="/a") as leaving:
        posting = asyncio.create_task(leaving.post({}))
        await arrived.wait()
        leaving.serving.cancel()
        coming = [asyncio.create_task(come(path)) for path in ("/b", "/c")]
        done, _ = await asyncio.wait(coming, timeout=0.3)
        assert not done
        go_on.set()
        assert (await posting).status_code == 202
        assert await asyncio.gather(*coming) == [202, 202]


async def test_many_start_and_stop_at_once() -> None:
    """Ten listeners that join and leave one port at the same time do not trip over one another."""
    port = free_port()

    async def come_and_go(number: int) -> None:
        for _ in range(3):
            async with listening(port=port, path=f"/{number}") as hooks:
                assert (await hooks.post({})).status_code == 202

    await asyncio.gather(*(come_and_go(number) for number in range(10)))


async def test_one_path_twice() -> None:
    """A path that another listener of the port has is a permanent error."""
    port = free_port()
    async with listening(port=port, path="/a"):
        with pytest.raises(PermanentError, match=f":{port}/a already"):
            async with listening(port=port, path="/a"):
                raise AssertionError("it must not listen")


# TLS. --------------------------------------------------------------------------------------------


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(tmp_path / "cert.pem", append=True)
    return {"cert_path": str(tmp_path / "cert.pem"), "key_path": str(tmp_path / "key.pem")}


async def _post_tls(hooks: Listening, context: ssl.SSLContext, path: str = "/hooks") -> int:
    async with httpx.AsyncClient(verify=context, trust_env=False) as http:
        answer = await http.post(f"https://127.0.0.1:{hooks.port}{path}", json={})
        return answer.status_code


async def test_tls(authority: trustme.CA, tls: dict[str, str]) -> None:
    """With a certificate it serves HTTPS, and plain HTTP no more."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with listening(tls=tls) as hooks:
        assert await _post_tls(hooks, context) == 202
        assert hooks.source.describe().startswith("POST https://")
        with pytest.raises(httpx.HTTPError):
            await hooks.post({})


async def test_client_certificates(
    authority: trustme.CA, tls: dict[str, str], tmp_path: Path
) -> None:
    """With client_ca_path only clients with a certificate of that authority are let in."""
    clients = trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with listening(tls={**tls, "client_ca_path": str(tmp_path / "clients.pem")}) as hooks:
        with pytest.raises((httpx.HTTPError, ssl.SSLError)):
            await _post_tls(hooks, context)
        clients.issue_cert("client@example.org").configure_cert(context)
        assert await _post_tls(hooks, context) == 202
    assert len(hooks.events) == 1


async def test_certificates_that_cannot_be_read(tls: dict[str, str]) -> None:
    """A missing or wrong file is a permanent error which names it."""
    missing = {**tls, "cert_path": tls["cert_path"] + ".not"}
    with pytest.raises(PermanentError, match=r"cert\.pem\.not: No such file"):
        async with listening(tls=missing):
            raise AssertionError("it must not listen")
    swapped = {"cert_path": tls["key_path"], "key_path": tls["cert_path"]}
    with pytest.raises(PermanentError, match=r"key\.pem") as error:
        async with listening(tls=swapped):
            raise AssertionError("it must not listen")
    assert "PEM" in error.value.next_step


async def test_listeners_of_one_port_have_the_same_tls(tls: dict[str, str]) -> None:
    """A port is HTTPS or it is not: a listener that wants it otherwise is a permanent error."""
    port = free_port()
    async with listening(port=port, path="/a", tls=tls):
        with pytest.raises(PermanentError, match="do not share its settings"):
            async with listening(port=port, path="/b"):
                raise AssertionError("it must not listen")
        async with listening(port=port, path="/c", tls=tls):
            pass


# Slow and idle clients. --------------------------------------------------------------------------


async def _until_closed(server: HttpServer, *pieces: bytes, every: float = 0.05) -> bytes:
    """Send pieces one after the other; all that came back when the connection was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    answering = asyncio.create_task(_read_all(reader))
    try:
        async with asyncio.timeout(10):
            for piece in pieces:
                if answering.done():
                    break
                writer.write(piece)
                await asyncio.sleep(every)
            return await answering
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed or reset."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            came += piece
    return came


def test_a_client_that_comes_while_the_port_closes_does_not_keep_it_open() -> None:
    """On uvloop, which the runner uses: each connection is told, also one that was just made."""
    uvloop = pytest.importorskip("uvloop")
    port = free_port()
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    closing, ended = threading.Event(), threading.Event()

    def come_and_ask() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as it:
                it.settimeout(5)
                it.sendall(request)
                while it.recv(1000) and closing.is_set():
                    it.sendall(request)

    async def busy(request: HttpRequest) -> HttpAnswer:
        time.sleep(0.001)  # noqa: ASYNC251  the loop has much to do at a time
        return await _hello(request)

    async def start_and_stop() -> float:
        closing.clear()
        server = HttpServer(busy, host="127.0.0.1", port=port, drain=3)
        await server.start()
        await asyncio.sleep(0.05)
        closing.set()
        began = time.monotonic()
        await server.stop()
        return time.monotonic() - began

    async def several_times() -> list[float]:
        return [await start_and_stop() for _ in range(20)]

    clients = [threading.Thread(target=come_and_ask) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        took = uvloop.run(several_times())
    finally:
        ended.set()
        for client in clients:
            client.join()
    assert max(took) < 2.5, took


async def test_requests_sent_ahead_of_their_answers() -> None:
    """They are answered in their order, one at a time; who sends on and on has to wait.

    aiohttp keeps 32 of a connection and lets the rest wait in the network: thousands are answered
    like forty (they ended the connection with a 429 when the server was our own).
    """
    request = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
    at_work = 0
    free = asyncio.Event()

    async def slow(request: HttpRequest) -> HttpAnswer:
        nonlocal at_work
        at_work += 1
        await free.wait()
        await asyncio.sleep(0)
        assert at_work == 1
        at_work -= 1
        return HttpAnswer(200, b"<%b>" % request.path.encode(), b"text/plain")

    async with _serving(slow, keep_alive=0.2) as server:
        free.set()
        for number in (40, 5000):
            sent = b"".join(request % one for one in range(number))
            came = await _until_closed(server, sent)
            paths = re.findall(rb"</(\d+)>", came)
            assert paths == [b"%d" % one for one in range(number)]
        free.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"".join(request % one for one in range(1_000_000)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await writer.drain()
        writer.transport.abort()
        free.set()


async def test_connection_that_sends_nothing() -> None:
    """A connection on which nothing is sent is closed after header_timeout."""
    async with _serving(header_timeout=0.2) as server:
        started = time.monotonic()
        check_problem(parse_raw(await _until_closed(server)), 408)
        assert time.monotonic() - started < 3


def test_a_request_that_came_while_the_runner_was_held_up_is_answered() -> None:
    """On uvloop, which runs its timers before it reads: it is not called late."""
    uvloop = pytest.importorskip("uvloop")

    async def held_up() -> bytes:
        async with _serving(header_timeout=0.3) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            ours, theirs = socket.socketpair()

            def hold_up() -> None:
                asyncio.get_running_loop().remove_reader(ours)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                time.sleep(1)

            with ours, theirs, contextlib.closing(writer):
                asyncio.get_running_loop().add_reader(ours, hold_up)
                theirs.send(b"now")
                return await _read_all(reader)

    assert uvloop.run(held_up()).startswith(b"HTTP/1.1 200")


async def test_slowloris() -> None:
    """A head that comes byte by byte is cut off after header_timeout, however busy it looks."""
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 200
    async with _serving(header_timeout=0.3) as server:
        started = time.monotonic()
        answer = await _until_closed(server, *(head[at : at + 1] for at in range(len(head))))
        assert time.monotonic() - started < 3
    check_problem(parse_raw(answer), 408)


async def test_slowloris_on_a_kept_connection() -> None:
    """The same holds for a later request of a connection."""
    async with _serving(header_timeout=0.3) as server:
        pieces = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", *([b"G", b"E", b"T"] + [b" "] * 100)]
        answer = await _until_closed(server, *pieces)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in answer


async def test_idle_connection() -> None:
    """A kept connection without a request is closed after keep_alive, stray newlines or not."""
    async with _serving(keep_alive=1) as server:
        started = time.monotonic()
        answer = await _until_closed(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.endswith(b"hello")
        assert time.monotonic() - started < 3
        request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await _until_closed(server, request, b"\r\n", b"\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert time.monotonic() - started < 8


async def test_endless_head() -> None:
    """A head larger than 64 KiB is 431 and its connection closed."""
    lines = [b"X-Some: " + b"x" * 4000 + b"\r\n" for _ in range(400)]
    async with _serving() as server:
        answer = await _until_closed(server, b"GET / HTTP/1.1\r\n", *lines, every=0)
    assert answer == b"" or parse_raw(answer).status_code == 431


async def test_large_head_is_refused_as_such() -> None:
    """A client that reads gets the 431 with its problem body."""
    async with _serving() as server:
        lines = (b"X-Some: " + b"x" * 990 + b"\r\n") * 68
        answer = await _until_closed(server, b"GET / HTTP/1.1\r\n", lines, every=0.1)
    check_problem(parse_raw(answer), 431)


async def test_too_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections over the limit are answered 503 and closed; those that are there go on."""
    monkeypatch.setattr(sockets, "MAX_CONNECTIONS", 3)
    async with _serving() as server:
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        refused = parse_raw(await _until_closed(server))
        check_problem(refused, 503, "too many connections")
        assert refused.headers["retry-after"] == "5"
        reader, writer = held[0]
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        for _, writer in held:
            writer.close()
            await writer.wait_closed()


async def test_pipelined_requests() -> None:
    """Requests sent ahead are answered in their order."""
    async with listening() as hooks:
        request = b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        bodies = [b'{"n": %d}' % number for number in range(5)]
        sent = [b"%bContent-Length: %d\r\n\r\n%b" % (request, len(body), body) for body in bodies]
        last = sent[-1].replace(b"Host", b"Connection: close\r\nHost")
        answer = await hooks.raw(b"".join([*sent[:-1], last]))
    assert answer.count(b"HTTP/1.1 202") == 5
    assert [event.data["n"] for event in hooks.events] == [0, 1, 2, 3, 4]


async def test_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends and sends and reads no answer loses its connection."""

    async def talkative(request: HttpRequest) -> HttpAnswer:
        return HttpAnswer(200, b"x" * 1_000_000)

    monkeypatch.setattr(wire, "UNREAD", 0.2)
    async with _serving(talkative) as server:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", server.port))
            async with asyncio.timeout(20):
                with pytest.raises(OSError, match="reset|Broken pipe"):  # noqa: RUF043
                    await _send_for_ever(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)


async def _send_for_ever(client: socket.socket, data: bytes) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(client, data)


@pytest.mark.parametrize("apart", [False, True])
async def test_question_for_http2(apart: bool) -> None:
    """A client that asks for HTTP/2 on the way (as Java's does) is served by HTTP/1.1."""
    ask = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIA"
    head = (
        b"POST /hooks HTTP/1.1\r\nHost: x\r\n%b\r\nContent-Type: application/json\r\n"
        b"Content-Length: 7\r\n\r\n"
    )
    async with listening() as hooks:
        reader, writer = await asyncio.open_connection(hooks.host, hooks.port)
        for number, asked in enumerate([ask, ask, b"Connection: close"]):
            pieces = [head % asked, b'{"n":%d}' % number]
            for piece in pieces if apart else [b"".join(pieces)]:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.05)  # two pieces arrive as two
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.count(b"HTTP/1.1 202") == 3, answer
    assert [event.data for event in hooks.events] == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_this_is_no_proxy() -> None:
    """CONNECT is refused."""
    async with listening() as hooks:
        answer = await hooks.raw(b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    check_problem(parse_raw(answer), 400)
