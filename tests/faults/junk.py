"""Sends junk to an HTTP port, as much a second as is asked for: a process of its own.

    python -m tests.faults.junk PORT BYTES_A_SECOND SECONDS SEED

It prints, as JSON, how many bytes of which kind it sent, and how many connections that took.
"""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator

_CHUNK = 64 * 1024
_HEAD = b"POST /good HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_SLOW = 40
"""Connections that stay and get a byte now and then: half of them in a head, half in a body."""

Pieces = Iterator[bytes]


def random_bytes(draws: random.Random) -> Pieces:
    """No HTTP at all."""
    while True:
        yield draws.randbytes(_CHUNK)


def endless_headers(draws: random.Random) -> Pieces:
    """A head that does not end."""
    yield _HEAD
    while True:
        yield b"".join(b"X-%x: %s\r\n" % (draws.getrandbits(32), b"y" * 200) for _ in range(200))


def one_endless_line(draws: random.Random) -> Pieces:
    """A request line that does not end."""
    yield b"POST /"
    while True:
        yield b"a" * _CHUNK


def huge_body(draws: random.Random) -> Pieces:
    """A body that says that it is huge, and is."""
    yield _HEAD + b"Content-Length: 10000000000\r\n\r\n"
    while True:
        yield draws.randbytes(_CHUNK)


def endless_chunks(draws: random.Random) -> Pieces:
    """A body in chunks without end."""
    yield _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"%x\r\n" % _CHUNK + draws.randbytes(_CHUNK) + b"\r\n"


def bodies_that_fit(draws: random.Random) -> Pieces:
    """Requests below every limit, one after the other on a connection, with no JSON in them."""
    while True:
        body = draws.randbytes(draws.randrange(1, 900_000))
        yield _HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def half_closed(draws: random.Random) -> Pieces:
    """A head and a part of its body; then the sender says that it sends no more, and waits."""
    yield _HEAD + b"Content-Length: 900000\r\n\r\n"
    for _ in range(12):
        yield draws.randbytes(_CHUNK)


def many_requests(draws: random.Random) -> Pieces:
    """Small requests without a pause, whose answers nobody reads."""
    while True:
        yield b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" * 1000


KINDS: tuple[Callable[[random.Random], Pieces], ...] = (
    random_bytes,
    endless_headers,
    one_endless_line,
    huge_body,
    endless_chunks,
    bodies_that_fit,
    half_closed,
    many_requests,
)


class Connection:
    """One connection that gets one kind of junk until the other side has enough of it."""

    def __init__(
        self, port: int, make: Callable[[random.Random], Pieces], draws: random.Random
    ) -> None:
        self.kind = make.__name__
        self._pieces = make(draws)
        self._rest = b""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setblocking(False)

    def send(self) -> int | None:
        """Send what it takes now; the bytes, or None where the connection is over."""
        try:
            if not self._rest:
                self._rest = next(self._pieces, b"")
            if not self._rest:
                self.socket.shutdown(socket.SHUT_WR)
                return None
            sent = self.socket.send(self._rest)
        except BlockingIOError:
            return 0
        except OSError:
            return None
        self._rest = self._rest[sent:]
        return sent


class Junk:
    """Keeps some connections of each kind busy, and a slow few open.

    Attributes:
        sent: Bytes of each kind.
        opened: Connections of each kind.
    """

    def __init__(self, port: int, draws: random.Random) -> None:
        self.sent: Counter[str] = Counter()
        self.opened: Counter[str] = Counter()
        self._port = port
        self._draws = draws
        self._busy: list[Connection] = []
        self._half_closed: deque[socket.socket] = deque(maxlen=50)
        self._slow: list[socket.socket] = []

    def pour(self, rate: float, seconds: float) -> float:
        """So many bytes a second for so long; returns how long it was."""
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            self._open()
            writable = select.select([], [one.socket for one in self._busy], [], 0.05)[1]
            ready = [one for one in self._busy if one.socket in writable]
            if ready:
                self._send(min(ready, key=lambda one: self.sent[one.kind]))
            early = self.sent.total() / rate - (time.monotonic() - began)
            time.sleep(max(0.0, early))
            self._drip()
        return elapsed

    def _open(self) -> None:
        with contextlib.suppress(OSError):
            for kind in KINDS:
                while sum(one.kind == kind.__name__ for one in self._busy) < 2:
                    self._busy.append(Connection(self._port, kind, self._draws))
                    self.opened[kind.__name__] += 1
            while len(self._slow) < _SLOW:
                slow = socket.create_connection(("127.0.0.1", self._port), timeout=5)
                slow.send(_HEAD + b"Content-Length: 900000\r\n")
                if len(self._slow) % 2:
                    slow.send(b"\r\n" + bytes(100_000))
                self._slow.append(slow)
                self.opened["slow"] += 1

    def _send(self, one: Connection) -> None:
        count = one.send()
        if count is not None:
            self.sent[one.kind] += count
            return
        self._busy.remove(one)
        if one.kind == half_closed.__name__:
            self._half_closed.append(one.socket)  # the oldest is closed for it
        else:
            one.socket.close()

    def _drip(self) -> None:
        one = self._draws.choice(self._slow)
        try:
            self.sent["slow"] += one.send(b"X")
        except OSError:
            self._slow.remove(one)
            one.close()


def main(port: int, rate: float, seconds: float, seed: str) -> None:
    """Pour, and tell."""
    junk = Junk(port, random.Random(seed))
    took = junk.pour(rate, seconds)
    print(json.dumps({"seconds": took, "bytes": junk.sent, "connections": junk.opened}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
