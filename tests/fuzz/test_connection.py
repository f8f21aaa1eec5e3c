"""Any bytes at a webhook's port: an answer or a closed connection, and good requests go on."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.webhook.support import Listening, listening

PIECES = [
    b"POST /hooks HTTP/1.1\r\n",
    b"GET / HTTP/1.0\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"CONNECT h:1 HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /h\xc3\xa9?\xff HTTP/1.1\r\n",
    b"POST http://[ HTTP/1.1\r\n",
    b"POST /%ff%00 HTTP/1.1\r\n",
    b"Host: x\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"Content-Length: 2\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 2, 2\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Content-Type: application/json\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: upgrade, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    b"Upgrade: websocket\r\n",
    b"Connection: close\r\n",
    b" folded\r\n",
    b": no name\r\n",
    b"name : x\r\n",
    b"a: \0\r\n",
    b"{}",
    b"2\r\n{}\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffffffff\r\n",
    b"1;ext=\xff\r\n",
    b"a: " + b"x" * 70_000 + b"\r\n",
    b"a:\r\n" * 5000,
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"\xff" * 100,
    b"\0",
]
SENT = st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=12).map(b"".join)


async def send(hooks: Listening, sent: bytes) -> bytes:
    """Send bytes, and that there are no more of them; all that comes back."""
    reader, writer = await asyncio.open_connection(hooks.host, hooks.port)
    try:
        writer.write(sent)
        writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_any_bytes_at_the_port(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be read is refused; nothing of it ends in a traceback."""

    async def one(hooks: Listening, sent: bytes) -> None:
        async with asyncio.timeout(10):
            answer = await send(hooks, sent)
        assert not answer or answer.startswith(b"HTTP/1.1 "), answer
        assert b"500 Internal" not in answer

    caplog.set_level(logging.WARNING)
    async with listening() as hooks:
        loop = asyncio.get_running_loop()

        @settings(
            max_examples=150,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(sent=SENT)
        def try_it(sent: bytes) -> None:
            asyncio.run_coroutine_threadsafe(one(hooks, sent), loop).result(30)

        await asyncio.to_thread(try_it)
        assert (await hooks.post(b'{"good": true}')).status_code == 202
    assert [record for record in caplog.records if record.exc_info] == []
