"""The inside of a worker's own process: one connection and one worker, and reports to the runner.

What supervises it is the runner: whatever fails ends the process, and another is started. The
runner's end is its end, too, however the runner ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import pickle
import signal
import sys
import threading
import time
from dataclasses import asdict, replace

from temporal_runner.plan import Plan, WorkerPlan
from temporal_runner.runtime import loop
from temporal_runner.runtime.connection.temporal import TemporalConnection
from temporal_runner.runtime.workers.component import WorkerComponent
from temporal_runner.runtime.workers.processes import REPORT_EVERY, Assignment, Report

_LOOK_EVERY = 0.1
"""Seconds after which a change is reported at the latest."""
_PR_SET_PDEATHSIG = 1


class Runner:
    """The runner that started this process: says what to do, and is told how it goes."""

    def __init__(self) -> None:
        """Take stdin and stdout for it; what workflows and activities print goes to stderr."""
        self._told = os.fdopen(os.dup(0), "rb")
        self._reports = os.fdopen(os.dup(1), "wb", buffering=0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        os.close(nothing)

    def assignment(self) -> Assignment:
        """What to do; from here on this process ends with the runner.

        Raises:
            EOFError: The runner has gone already.
        """
        assignment: Assignment = pickle.load(self._told)  # noqa: S301 - written by the runner
        if sys.platform == "linux":  # even while C code holds the interpreter's lock
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        threading.Thread(target=self._end_with_it, name="runner's end", daemon=True).start()
        return assignment

    def _end_with_it(self) -> None:
        self._told.read()
        os._exit(1)

    def tell(self, report: Report) -> None:
        """Report."""
        self._reports.write(json.dumps(asdict(report)).encode() + b"\n")


async def work(plan: Plan, number: int, runner: Runner) -> None:
    """Do the one worker's work until SIGTERM, then finish what is in hand.

    Args:
        plan: A plan with one worker.
        number: Which of the worker's processes this is.
        runner: Who is told how it goes.

    Raises:
        Exception: The worker failed, or the connection for good.
    """
    (planned,) = plan.workers
    of_connection = plan.connections[planned.connection]
    # How long a first connection may take is the runner's to say: it has the same one.
    retry = of_connection.retry.without_limits()
    connection = TemporalConnection(replace(of_connection, retry=retry))
    worker = WorkerComponent(_numbered(planned, number), connection)
    told = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    stopping = asyncio.create_task(told.wait())
    connecting = asyncio.create_task(connection.run())
    working = asyncio.create_task(worker.run())
    reporting = asyncio.create_task(_report(worker, runner))
    await asyncio.wait({stopping, connecting, working}, return_when=asyncio.FIRST_COMPLETED)
    for task in (working, connecting, reporting, stopping):
        task.cancel()
        await asyncio.wait({task})
    for task in (working, connecting):
        if not task.cancelled():
            task.result()


def _numbered(plan: WorkerPlan, number: int) -> WorkerPlan:
    """The worker under a name of its own, and with an identity of its own."""
    settings = plan.settings
    if settings.identity is not None:
        own = f"{settings.identity}/{number}"
        settings = settings.model_copy(update={"identity": own})
    return replace(plan, name=f"{plan.name}/{number}", settings=settings)


async def _report(worker: WorkerComponent, runner: Runner) -> None:
    last, said, settled = Report(), 0.0, False
    while True:
        report = Report(worker.ready, worker.error)
        if report != last or time.monotonic() - said >= REPORT_EVERY:
            runner.tell(report)
            last, said = report, time.monotonic()
        if report.ready and not settled:
            settled = True
            loop.keep_what_is_there()
        await asyncio.sleep(_LOOK_EVERY)
