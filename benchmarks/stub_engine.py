"""A Temporal frontend that accepts every start at once, so that the client side's cost shows.

Speaks just enough HTTP/2 without TLS: it reads frames and never the headers in them, since a
request's message tells which call it is. That makes it many times cheaper than what calls it.

    python -m benchmarks.stub_engine PORT
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from struct import Struct
from typing import cast

import uvloop
from temporalio.api.namespace.v1 import NamespaceInfo
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceResponse,
    GetSystemInfoResponse,
    StartWorkflowExecutionResponse,
)

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 4, 6, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_HEAD = 9
"""Bytes before a frame's payload."""
_MESSAGE = 5
"""Bytes before a gRPC message: whether it is compressed, and its length."""
_SMALL = 128
"""Bytes; a larger message is a start, and is not looked at (the SDK compresses messages)."""
_WIDEST = 2**31 - 1
_WIDEN_EVERY = 2**29
"""Bytes received after which the connection's window is opened again."""

_head = Struct(">HBBBI")  # length (upper two bytes, lower one), type, flags, stream
_number = Struct(">I")


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _head.pack(size >> 8, size & 255, kind, flags, stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """A header by HPACK, written out: neither in a table, nor put into one."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


_BEGIN = b"\x88" + _literal(b"content-type", b"application/grpc")  # 0x88 is `:status: 200`
_END = _literal(b"grpc-status", b"0")


class _Reply:
    """An answer to a call, with the stream's number to be put in."""

    def __init__(self, message: bytes) -> None:
        prefixed = b"\0" + _number.pack(len(message)) + message
        self._begin = _frame(_HEADERS, _END_HEADERS, 0, _BEGIN)[:5], _BEGIN
        self._data = _frame(_DATA, 0, 0, prefixed)[:5], prefixed
        self._end = _frame(_HEADERS, _END_HEADERS | _END_STREAM, 0, _END)[:5], _END

    def on(self, stream: int) -> bytes:
        number = _number.pack(stream)
        (begin, head), (data, message), (end, trailer) = self._begin, self._data, self._end
        return b"".join((begin, number, head, data, number, message, end, number, trailer))


_SYSTEM = _Reply(GetSystemInfoResponse(server_version="1.0.0").SerializeToString())
_NAMESPACE = _Reply(
    DescribeNamespaceResponse(namespace_info=NamespaceInfo(name="default")).SerializeToString()
)
_HEALTHY = _Reply(b"\x08\x01")  # grpc.health.v1.HealthCheckResponse: SERVING
_STARTED = _Reply(
    StartWorkflowExecutionResponse(
        run_id="01890a5d-ac96-774b-bcce-b302099a8057", started=True
    ).SerializeToString()
)


def _reply_to(request: bytes) -> _Reply:
    """Which call a request is, by its message: a service, nothing, only a namespace, or more."""
    message = request[_MESSAGE:]
    if len(message) > _SMALL:
        return _STARTED
    if request[0]:
        message = zlib.decompress(message, wbits=16 + zlib.MAX_WBITS)
    if not message:
        return _SYSTEM
    if b"WorkflowService" in message:
        return _HEALTHY
    return _NAMESPACE if len(message) == 2 + message[1] else _STARTED


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._rest = b""
        self._first: dict[int, bytes] = {}
        """What came first of requests that have not ended."""
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # 3: concurrent streams, 4: each stream's window
        settings = b"\0\3" + _number.pack(100_000) + b"\0\4" + _number.pack(_WIDEST)
        self._transport.write(_frame(_SETTINGS, 0, 0, settings) + _widen(_WIDEST - 65_535))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at = len(_PREFACE) if data.startswith(_PREFACE) else 0
        out: list[bytes] = []
        while len(data) - at >= _HEAD:
            upper, lower, kind, flags, stream = _head.unpack_from(data, at)
            end = at + _HEAD + (upper << 8 | lower)
            if end > len(data):
                break
            if kind == _DATA:
                self._received += end - at - _HEAD
                first = self._first.pop(stream, b"") or data[at + _HEAD : end]
                if flags & _END_STREAM:
                    out.append(_reply_to(first).on(stream))
                else:
                    self._first[stream] = first
            elif kind == _SETTINGS and not flags & _ACK:
                out.append(_frame(_SETTINGS, _ACK, 0))
            elif kind == _PING and not flags & _ACK:
                out.append(_frame(_PING, _ACK, 0, data[at + _HEAD : end]))
            at = end
        self._rest = data[at:]
        if self._received > _WIDEN_EVERY:
            out.append(_widen(self._received))
            self._received = 0
        if out:
            self._transport.write(b"".join(out))


def _widen(by: int) -> bytes:
    return _frame(_WINDOW_UPDATE, 0, 0, _number.pack(by))


async def serve(port: int) -> None:
    """Serve until ended."""
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
