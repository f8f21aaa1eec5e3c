"""Bytes to requests: httptools' parser (llhttp, strict), and what it leaves to its user.

The parser calls the `on_` methods while it is fed; what they find is told to the connection.
"""

from __future__ import annotations

from typing import Protocol, cast
from urllib.parse import unquote

import httptools

from temporal_runner.http.messages import HttpRequest, Sender

NotHttp = httptools.HttpParserError
"""What came is not a request of HTTP/1.1."""
_FOR_HTTP2 = ("upgrade", "http2-settings")


class Listener(Sender, Protocol):
    """Who is told what comes."""

    def head_begins(self) -> None:
        """The first byte of a request."""

    def head_ends(self, request: HttpRequest) -> None:
        """It can be answered."""

    def body_grows(self, request: HttpRequest) -> None:
        """There is more of its body."""

    def body_ends(self, request: HttpRequest) -> None:
        """All of it is here."""


class Reader:
    """Reads the requests of one connection.

    Attributes:
        arriving: The request that arrives, from its first byte to its last.
        in_head: Its head is not complete, or there has been none yet.
        head: Bytes of that head, but for those that it began in.
    """

    def __init__(self, listener: Listener) -> None:
        self.arriving: HttpRequest | None = None
        self.in_head = True
        self.head = 0
        self._listener = listener
        self._parser = self._new_parser()
        self._url = b""
        self._began = False
        """A head began in the bytes that are being read."""

    def feed(self, data: bytes) -> None:
        """Read what came.

        Raises:
            NotHttp: It is not HTTP, or might be understood in two ways.
        """
        self._began = False
        while True:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                # Some clients (Java's) ask for HTTP/2 with each first request. The parser then
                # takes the body for something else: it gets the request again without the question.
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self._parser = self._new_parser()
        if self.in_head and not self._began:
            self.head += len(data)

    def end(self) -> None:
        """Nothing more will come."""
        if self.arriving is not None:
            self.arriving.end(gone=True)
        self._parser = cast(httptools.HttpRequestParser, None)  # it knows this, and this it

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # What is sent after `Connection: close` is no error: it is never looked at.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _head_without_upgrade(self) -> bytes:
        method = self._parser.get_method()
        if method == b"CONNECT" or self.arriving is None:
            raise NotHttp("this is no proxy")
        headers = self.arriving.headers
        if "close" not in headers.get("connection", "").lower():
            headers.pop("connection", None)
        else:
            headers["connection"] = "close"
        lines = [b"%b %b HTTP/1.1" % (method, self._url)]
        lines += [
            f"{name}: {value}".encode("latin-1")
            for name, value in headers.items()
            if name not in _FOR_HTTP2
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    # Called by the parser.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self.arriving = HttpRequest(self._listener)
        self._url = b""
        self.head = 0
        self._began = True
        if not self.in_head:
            self.in_head = True
            self._listener.head_begins()

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; one behind the body would be too late to be believed."""
        if self.in_head and self.arriving is not None:
            self.arriving.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there."""
        request, parser = self.arriving, self._parser
        if request is None or parser.should_upgrade():
            return
        version = parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise NotHttp(f"there is no HTTP/{version} here")
        self.in_head = False
        request.method = parser.get_method().decode()
        request.keep_alive = version == "1.1" and parser.should_keep_alive()
        self._aim(request)
        self._listener.head_ends(request)

    def _aim(self, request: HttpRequest) -> None:
        path, _, query = self._url.partition(b"?")
        if not path.startswith(b"/"):
            target = httptools.parse_url(self._url)
            path, query = target.path or b"/", target.query or b""
        request.path = path.decode("latin-1")
        if "%" in request.path:
            request.path = unquote(request.path)
        request.query_string = query

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        request = self.arriving
        if request is not None and not request.answered:
            request.add(piece)
            self._listener.body_grows(request)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        request = self.arriving
        if request is None or self._parser.should_upgrade():
            return
        self.arriving = None
        request.end()
        self._listener.body_ends(request)
