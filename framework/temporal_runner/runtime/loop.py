"""The event loop that everything runs in: uvloop where there is one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from temporal_runner.runtime.blocked_loop import telling_of_blocks

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

T = TypeVar("T")

_FOR_THE_SDKS_THREADS = 0.05
"""Seconds between the end of the work and that of the loop. Python can abort at exit while the
SDK's threads still hold callbacks (PyGILState_Release, measured in up to 6 of 100 runs); with this
in 0 of 200."""

_YOUNG = 10_000
"""New objects after which the youngest are looked at: a request makes some dozens, nearly all of
them gone without that. Python's own 700 costs a busy webhook one part in twenty."""


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function in a new event loop until it returns."""
    _allow_many_files()
    try:
        from uvloop import new_event_loop
    except ImportError:  # Windows
        new_event_loop = None  # type: ignore[assignment]
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            return runner.run(_watched(main))
        finally:
            runner.run(asyncio.sleep(_FOR_THE_SDKS_THREADS))


def _allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one: each connection is a file.

    The soft one is often 1024, for the sake of programs that use `select`. Uvloop does not.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS takes no limit without an end
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _watched(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with telling_of_blocks():
        return await main()


def keep_what_is_there() -> None:
    """Exempt what a start has made from garbage collection: it lives as long as the process.

    A full collection looks at every object. With the modules of the SDK and their tens of thousands
    of objects among them it stopped everything for 35 ms, and was the p99 of a busy webhook.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
