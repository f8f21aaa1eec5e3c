"""The event loop that everything runs in: uvloop where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_FOR_THE_SDKS_THREADS = 0.05
"""Seconds between the end of the work and that of the loop. Python can abort at exit while the
SDK's threads still hold callbacks (PyGILState_Release, measured in up to 6 of 100 runs); with this
in 0 of 200."""


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function in a new event loop until it returns."""
    try:
        from uvloop import new_event_loop
    except ImportError:  # Windows
        new_event_loop = None  # type: ignore[assignment]
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            return runner.run(main())
        finally:
            runner.run(asyncio.sleep(_FOR_THE_SDKS_THREADS))
