"""A worker in processes of its own: each is a component, with its own Python and SDK runtime.

The runner tells a process what to run and hears how that goes; `child.py` is the process's side.

    runner  -- stdin: an Assignment, then nothing; its end is the runner's -->  process
    runner  <-- stdout: a Report a second, or when something changed --------  process
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from temporal_runner.config.load import LoadedConfig
from temporal_runner.errors import PermanentError, TransientError
from temporal_runner.plan import WorkerPlan
from temporal_runner.values.durations import format_duration

REPORT_EVERY = 1.0
"""Seconds between two reports of a process at the most."""
_SILENT = 10.0
"""Seconds without a report after which a process is not ready: its event loop does not turn."""
_HUNG = 60.0
"""The same after which it is ended, and another takes its place."""
_PROGRAM = "temporal_runner.cli.worker_process"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a process is to do.

    Attributes:
        config: The config as the runner read it, less all but one worker: a file that has been
            changed since must not make the processes of one worker differ.
        number: Which of the worker's processes it is, from 1.
    """

    config: LoadedConfig
    number: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a process says of itself.

    Attributes:
        ready: The server sees its poller.
        error: Why it is not ready.
        failed: Why it ends now.
        permanent: What ended it would do so again.
    """

    ready: bool = False
    error: str = ""
    failed: str = ""
    permanent: bool = False


class WorkerProcess:
    """One of a worker's processes.

    Attributes:
        name: The worker's name in the config and the process's number.
        ready: The server sees its poller.
        error: Why it is not ready; empty while it is.
        pid: The process's ID; None while there is none.
        assignment: What it is told to do.
    """

    noun = "worker"

    def __init__(self, plan: WorkerPlan, config: LoadedConfig, number: int) -> None:
        self.name = f"{plan.name}/{number}"
        self.restart = plan.restart
        self.ready = False
        self.error = "not started yet"
        self.pid: int | None = None
        self._queue = plan.settings.task_queue
        self.assignment = Assignment(config, number)

    def describe(self) -> str:
        """What it works on and where, for the start-up message."""
        return f"task queue {self._queue}, in process {self.pid}"

    def status(self) -> dict[str, object]:
        """Its process, for /status."""
        return {"pid": self.pid}

    async def run(self) -> None:
        """Let a process work until cancelled; then let it finish what it has in hand.

        Raises:
            PermanentError: The SDK refuses the worker's options, or a workflow as it is.
            TransientError: The process ended, or hangs; the supervisor starts another.
        """
        self.error = "its process starts"
        # A session of its own: Ctrl-C is for the runner, which stops it when it is its turn.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", _PROGRAM),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = process.pid
        try:
            await self._assign(process)
            last = await self._listen(process)
            code = await process.wait()
            if last.permanent:
                raise PermanentError(last.failed)
            raise TransientError(last.failed or f"its process {self.pid} {_ended(code)}")
        except asyncio.CancelledError:
            self.error = "stopping"
            self.ready = False
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            raise
        except Exception as error:
            self.error = str(error)
            raise
        finally:
            self.ready, self.pid = False, None
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _assign(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(self.assignment))
        with contextlib.suppress(ConnectionError):  # it has ended already: its code tells
            await process.stdin.drain()

    async def _listen(self, process: asyncio.subprocess.Process) -> Report:
        """Keep `ready` true to what the process says, until it says no more; its last word.

        Raises:
            TransientError: It hangs.
        """
        assert process.stdout is not None
        last, heard = Report(), None
        while True:
            try:
                # Before its first word it imports what it works with, which may take long.
                async with asyncio.timeout(None if heard is None else _SILENT):
                    line = await process.stdout.readline()
            except TimeoutError:
                assert heard is not None
                silent = time.monotonic() - heard
                told = f"its process {self.pid} has not reported for {format_duration(silent)}"
                self.ready, self.error = False, f"{told}: does something block its event loop?"
                if silent >= _HUNG:
                    raise TransientError(self.error) from None
                continue
            if not line:
                return last
            last, heard = Report(**json.loads(line)), time.monotonic()
            self.ready, self.error = last.ready, last.error


def processes_of(plan: WorkerPlan) -> Iterator[WorkerProcess]:
    """A worker's processes; none where it runs in the runner's own."""
    if plan.alone is not None:
        for number in range(1, plan.settings.processes + 1):
            yield WorkerProcess(plan, plan.alone, number)


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
