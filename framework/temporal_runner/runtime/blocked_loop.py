"""A thread that tells of what blocks the event loop: no probe is answered meanwhile.

An `async def` activity that computes, or calls what does not await, stops everything in its
process. Afterwards nobody could say what it was.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import FrameSummary, extract_stack

log = logging.getLogger("temporal_runner")

_BEAT = 0.5
"""Seconds between two signs of life of the loop."""
_TELL_AFTER = 3.0
"""Seconds without one after which it is told of; again each time after twice as many."""
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")


@contextmanager
def telling_of_blocks() -> Iterator[None]:
    """Watch the running event loop."""
    watch = _Watch(asyncio.get_running_loop())
    watch.begin()
    try:
        yield
    finally:
        watch.end()


class _Watch:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._beaten = time.monotonic()
        self._done = threading.Event()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._beat()
        threading.Thread(target=self._look, name="watches the event loop", daemon=True).start()

    def end(self) -> None:
        self._done.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        self._beaten = time.monotonic()
        self._timer = self._loop.call_later(_BEAT, self._beat)

    def _look(self) -> None:
        told, where, since, looked = 0.0, "", 0.0, time.monotonic()
        while not self._done.wait(_BEAT):
            now = time.monotonic()
            paused, looked = now - looked > 2 * _TELL_AFTER, now
            silent = now - self._beaten
            if paused:
                continue  # this thread did not run either: the whole process stood still
            if told and self._beaten != since:
                blocked = self._beaten - since
                log.warning("the event loop was blocked for %.1fs by %s", blocked, where)
                told = 0.0
            elif silent >= max(_TELL_AFTER, 2 * told):
                told, since, where = silent, self._beaten, self._what()
                log.warning(
                    "the event loop is blocked for %.1fs by %s: nothing else runs, and no probe is"
                    " answered; let what computes or waits run in a thread (asyncio.to_thread, or"
                    " a plain function as activity)",
                    silent,
                    where,
                )

    def _what(self) -> str:
        frame = sys._current_frames().get(self._thread)
        frames = extract_stack(frame) if frame is not None else []
        try:
            task = asyncio.current_task(self._loop)
        except RuntimeError:  # some Python may tell only the loop's own thread
            task = None
        name = f"task {task.get_name()!r}, " if task is not None else ""
        return name + _place(frames)


def _place(frames: list[FrameSummary]) -> str:
    """Where in the user's code it stands, or else in whose."""
    files = [frame for frame in frames if not frame.filename.startswith("<")]
    own = [frame for frame in files if "site-packages" not in Path(frame.filename).parts]
    own = [frame for frame in own if not frame.filename.startswith(_STANDARD_LIBRARY)]
    last = (own or files)[-1:]
    return f"{last[0].name} ({last[0].filename}:{last[0].lineno})" if last else "what is not Python"
