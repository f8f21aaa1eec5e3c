"""An event source that harms the process it is in, as foreign code may."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import Iterable, Sequence
from typing import Literal

from temporal_runner.plugin import (
    Delivery,
    EventSourceKind,
    Options,
    PullSource,
    SourceContext,
    hookimpl,
)


def lock_for_ever(library: ctypes.CDLL) -> None:
    """Wait in C for what never comes; no signal ends that."""
    mutex = ctypes.create_string_buffer(128)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def _fork_and_end() -> None:
    """As an executor of processes does."""
    child = os.fork()
    if child == 0:
        time.sleep(100)
        os._exit(0)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    print(f"the forked process was ended by signal {os.WTERMSIG(status)}", flush=True)


class HangingOptions(Options):
    """What it does, and when."""

    how: Literal["python", "c", "interpreter", "thread", "stubborn", "fork"]
    at: Literal["start", "stop"]


class HangingSource(PullSource):
    """Hangs."""

    def __init__(self, options: HangingOptions, context: SourceContext) -> None:
        self._options = options

    async def receive(self) -> Sequence[Delivery]:
        if self._options.at == "start":
            print("about to hang", flush=True)
            await self._hang()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await self._hang()
            raise
        return []

    async def _hang(self) -> None:
        match self._options.how:
            case "python":
                time.sleep(1000)  # noqa: ASYNC251
            case "c":
                lock_for_ever(ctypes.CDLL(None))
            case "interpreter":
                lock_for_ever(ctypes.PyDLL(None))
            case "fork":
                _fork_and_end()
            case "thread":
                asyncio.get_running_loop().run_in_executor(None, time.sleep, 1000)
            case "stubborn":
                while True:
                    try:
                        await asyncio.sleep(1000)
                    except asyncio.CancelledError:
                        print("no", flush=True)


@hookimpl
def runner_event_sources() -> Iterable[EventSourceKind]:
    """The hanging source."""
    yield EventSourceKind(
        "hanging", "harms its process", HangingOptions, "tests.real.hanging:HangingSource"
    )
