"""Servers on loopback that refuse everything, and repeat in their errors what they were sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from tests.real.impostors import Reader, Writer


async def echoing_grpc(reader: Reader, writer: Writer) -> None:
    """Refuses each call as unauthenticated, and says with which metadata it came."""
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    while data := await reader.read(65536):
        for event in connection.receive_data(data):
            if isinstance(event, RequestReceived):
                said = "; ".join(f"{name}={value}" for name, value in _texts(event.headers))
                answer = [
                    (":status", "200"),
                    ("content-type", "application/grpc"),
                    ("grpc-status", "16"),
                    ("grpc-message", quote(f"this is not a good key: {said}")),
                ]
                connection.send_headers(event.stream_id, answer, end_stream=True)
        writer.write(connection.data_to_send())
        await writer.drain()


def _texts(headers: Any) -> Iterator[tuple[str, str]]:
    for pair in headers:
        name, value = (one.decode() if isinstance(one, bytes) else one for one in pair)
        yield name, value


@contextmanager
def echoing_cloud() -> Iterator[str]:
    """AWS and Azure at once: 403, in each one's form, with the request in the error's message."""

    class Refusing(BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length).decode("utf-8", "replace")
            said = f"{self.requestline}; {dict(self.headers)}; {sent}"
            aws_json = "x-amz-target" in self.headers
            if aws_json:
                kind = "com.amazonaws.sqs#AccessDenied"
                body = json.dumps({"__type": kind, "message": said}).encode()
            else:
                error = f"<Error><Code>AccessDenied</Code><Message>{escape(said)}</Message></Error>"
                body = (f"<ErrorResponse>{error}</ErrorResponse>" if sent else error).encode()
            self.send_response(403)
            media_type = "application/x-amz-json-1.0" if aws_json else "text/xml"
            self.send_header("Content-Type", media_type)
            self.send_header("x-ms-error-code", "AuthenticationFailed")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_GET = do_HEAD = do_POST = do_PUT = _refuse  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
