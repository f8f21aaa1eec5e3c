"""The processes of a benchmark: started on a core of their own, watched, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parent.parent
RUNNER = str(BIN / "runner")
_TICK = os.sysconf("SC_CLK_TCK")


def cores() -> tuple[set[int], set[int]]:
    """The core of what is measured, and those of all else; all are everybody's if there is one."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return set(available), set(available)
    return set(available[:1]), set(available[1:])


MEASURED, OTHERS = cores()
EVERYWHERE = MEASURED | OTHERS


def free_port() -> int:
    """A port that nothing listened at a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A process of a benchmark."""

    def __init__(
        self, command: Sequence[str], on: set[int], env: Mapping[str, str] | None, *, quiet: bool
    ) -> None:
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if quiet else None,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, on),
        )
        self.pid = self._popen.pid

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used, in user and kernel mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    @property
    def memory(self) -> float:
        """MiB of resident memory."""
        told = Path(f"/proc/{self.pid}/status").read_text()
        return int(told.partition("VmRSS:")[2].split()[0]) / 1024

    def check(self) -> None:
        """Fail where it has ended."""
        if self._popen.poll() is not None:
            raise RuntimeError(f"{self._popen.args!r} ended with {self._popen.returncode}")

    def end(self) -> None:
        """Ask it to end, and make it if it does not."""
        self._popen.terminate()
        try:
            self._popen.wait(15)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


@contextlib.contextmanager
def process(
    *command: object,
    on: set[int] = EVERYWHERE,
    env: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> Iterator[Process]:
    """A process for the time of a block."""
    one = Process([str(part) for part in command], on, env, quiet=quiet)
    try:
        yield one
    finally:
        one.end()


@contextlib.contextmanager
def module(
    name: str,
    *arguments: object,
    on: set[int] = EVERYWHERE,
    env: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """A module of this package as a process."""
    with process(sys.executable, "-m", f"benchmarks.{name}", *arguments, on=on, env=env) as one:
        yield one


def wait_for_port(port: int, of: Process, *, within: float = 60.0) -> None:
    """Wait until something listens there."""
    until = time.monotonic() + within
    while True:
        of.check()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > until:
            raise TimeoutError(f"nothing listens at port {port}")
        time.sleep(0.02)


def wait_for_ready(admin: int, of: Process, *, within: float = 60.0, every: float = 0.02) -> None:
    """Wait until a runner says that it is ready."""
    until = time.monotonic() + within
    while True:
        of.check()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=5):
                return
        except OSError:  # urllib's errors are of it
            pass
        if time.monotonic() > until:
            raise TimeoutError("the runner is not ready")
        time.sleep(every)


def wait_for_pollers(address: str, queue: str, *, within: float = 60.0) -> None:
    """Wait until a worker polls a task queue."""

    async def polled() -> None:
        client = await Client.connect(address)
        request = DescribeTaskQueueRequest(
            namespace="default",
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
        async with asyncio.timeout(within):
            describe = client.workflow_service.describe_task_queue
            while not (await describe(request)).pollers:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    asyncio.run(polled())


def output_of(name: str, *arguments: object, on: set[int] = EVERYWHERE) -> dict[str, float]:
    """Run a module of this package to its end; what it printed, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)],
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
        preexec_fn=lambda: os.sched_setaffinity(0, on),
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
