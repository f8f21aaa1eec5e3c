"""Servers on loopback that are not, or not quite, a Temporal: what a client may meet there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias
from urllib.parse import quote

import trustme
from google.protobuf.message import Message
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from temporalio.api.common.v1 import GrpcStatus

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Conversation = Callable[[Reader, Writer], Awaitable[None]]


@asynccontextmanager
async def serving(
    conversation: Conversation, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[str]:
    """Serve conversations, on a free port by default; gives the address."""
    under_way: set[asyncio.Task[None]] = set()

    async def converse(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await conversation(reader, writer)
        under_way.discard(task)
        await _closed(writer)

    server = await asyncio.start_server(converse, "127.0.0.1", port, ssl=tls)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        tasks = list(under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _closed(writer: Writer) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def silent(reader: Reader, writer: Writer) -> None:
    """Accepts, and never says a word."""
    await reader.read(-1)


async def web_server(reader: Reader, writer: Writer) -> None:
    """Speaks HTTP/1.1."""
    await reader.read(1024)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()


@contextmanager
def cutting(tls: ssl.SSLContext, port: int = 0) -> Iterator[str]:
    """A TLS server that takes a client or refuses it, as the context says, then cuts it off.

    In a thread with plain sockets: asyncio drops the alert that OpenSSL and Go send.
    """
    listening = socket.create_server(("127.0.0.1", port))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    with tls.wrap_socket(connection, server_side=True) as secured:
                        secured.recv(1)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def grpc_server(
    status: int, message: str = "", heard: list[dict[str, str]] | None = None
) -> Conversation:
    """Speaks gRPC, answers every call with that status, and keeps the headers of calls."""

    async def answer(reader: Reader, writer: Writer) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    if heard is not None:
                        sent = event.headers or ()
                        heard.append({key.decode(): value.decode() for key, value in sent})
                    headers = [
                        (":status", "200"),
                        ("content-type", "application/grpc"),
                        ("grpc-status", str(status)),
                        ("grpc-message", message),
                    ]
                    connection.send_headers(event.stream_id, headers, end_stream=True)
            writer.write(connection.data_to_send())
            await writer.drain()

    return answer


def forward_to(address: str) -> Conversation:
    """Hands every byte on to a real server."""
    host, port = address.split(":")

    async def copy(reader: Reader, writer: Writer) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def forward(reader: Reader, writer: Writer) -> None:
        connecting = asyncio.ensure_future(asyncio.open_connection(host, int(port)))
        try:
            upstream_reader, upstream_writer = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            await _closed((await connecting)[1])
            raise
        ways = [
            asyncio.create_task(copy(reader, upstream_writer)),
            asyncio.create_task(copy(upstream_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            upstream_writer.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _closed(upstream_writer)

    return forward


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def pem(self) -> bytes:
        return self._ca.cert_pem.bytes()

    def server_context(self, name: str, *, ask_client: bool = False) -> ssl.SSLContext:
        """TLS of a server with a certificate for that name."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["h2"])
        self._ca.issue_cert(name).configure_cert(context)
        if ask_client:
            self._ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_pair(self) -> tuple[bytes, bytes]:
        """A client's certificate and key, as PEM."""
        cert = self._ca.issue_cert("client.example.org")
        return cert.cert_chain_pems[0].bytes(), cert.private_key_pem.bytes()


def failing_temporal(
    status: int, message: str = "", details: Sequence[Message] = ()
) -> Conversation:
    """A Temporal that clients connect to, and that answers every call with that status."""
    written = GrpcStatus(code=status, message=message)
    for detail in details:
        written.details.add().Pack(detail)
    answer = [("grpc-status", str(status)), ("grpc-message", quote(message))]
    if details:
        encoded = b64encode(written.SerializeToString()).decode().rstrip("=")
        answer.append(("grpc-status-details-bin", encoded))
    head = [(":status", "200"), ("content-type", "application/grpc")]

    async def converse(reader: Reader, writer: Writer) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        paths: dict[int, bytes] = {}
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    paths[event.stream_id] = dict(event.headers)[b":path"]
                elif isinstance(event, DataReceived):
                    connection.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                elif isinstance(event, StreamEnded):
                    if paths.pop(event.stream_id).endswith(b"/GetSystemInfo"):
                        connection.send_headers(event.stream_id, head)
                        connection.send_data(event.stream_id, bytes(5))  # an empty message
                        trailers = [("grpc-status", "0")]
                        connection.send_headers(event.stream_id, trailers, end_stream=True)
                    else:
                        connection.send_headers(event.stream_id, head + answer, end_stream=True)
            writer.write(connection.data_to_send())
            await writer.drain()

    return converse
