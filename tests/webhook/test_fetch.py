"""Fetching a key or a certificate: bounded in time and bytes, and nothing goes on afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from temporal_runner.plugin import TransientError
from temporal_runner_webhook.verify import fetch as fetching
from temporal_runner_webhook.verify.fetch import fetch

OK = b"HTTP/1.1 200 OK\r\n"


@contextlib.asynccontextmanager
async def site(
    answer: Callable[[asyncio.StreamWriter], Awaitable[None]], left: asyncio.Event
) -> AsyncIterator[str]:
    """A server that answers any request so; `left` is set when its client has gone."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answering = asyncio.ensure_future(answer(writer))
        with contextlib.suppress(OSError):
            await reader.read()
        answering.cancel()
        left.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys?secret=1"


async def test_a_trickle_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends a byte now and then is left when the time is up, and not read on."""

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.05)

    monkeypatch.setattr(fetching, "_LONGEST", 0.5)
    left = asyncio.Event()
    async with site(drip, left) as url, asyncio.timeout(5):
        with pytest.raises(TransientError, match="no answer in time") as error:
            await fetch(url)
        await left.wait()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (OK + b"\r\n" + b"x" * 300_000, "larger than"),
        (
            OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"8000\r\n%b\r\n" % (b"x" * 32768) * 9,
            "large",
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "302",
        ),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        (OK + b"Content-Length: 10\r\n\r\nabc", "cannot fetch"),
        (b"nonsense\r\n\r\n", "cannot fetch"),
    ],
)
async def test_what_is_no_answer(sent: bytes, says: str) -> None:
    """Too much, a redirect, a failure, half of it: the caller tries later, and the site is left."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        writer.write_eof()

    left = asyncio.Event()
    async with site(answer, left) as url, asyncio.timeout(5):
        with pytest.raises(TransientError, match=says):
            await fetch(url)
        await left.wait()


async def test_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked, but for this machine."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert fetching._proxy("https://keys.example/") == "http://127.0.0.1:1"
    assert fetching._proxy("https://inside.example/") is None
    assert fetching._proxy("https://localhost/") is None
