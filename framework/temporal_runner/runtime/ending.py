"""What ends a runner: signals, heard also while the event loop is blocked, and a deadline.

A signal handler of the event loop runs when the loop turns, and one of Python's when the main
thread is done with what it does in C. So the signals go through a pipe to a thread of its own. The
first begins the stop and starts the clock; the second, or the deadline, ends the process, whatever
any other thread does: hang in an fsync, block the loop, or hold the interpreter's lock.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from temporal_runner.values.durations import format_duration

log = logging.getLogger("temporal_runner")

_HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none
_SIGNALS = [one for one in (signal.SIGINT, signal.SIGTERM, _HANG_UP) if one is not None]
_GRACE = 1.0
"""Seconds beyond the deadline in which the event loop, if it turns, ends the process itself."""
_LAST_WORDS = 1.0
"""Seconds for the last line of the log: whoever reads it may have stopped reading."""
_WITHOUT_PYTHON = 3.0
"""Seconds beyond that, after which the process ends where no thread of Python's can run."""


class Ending:
    """Stops a runner at a signal, and ends its process where it does not stop in time."""

    def __init__(
        self,
        deadline: float,
        stop: Callable[[signal.Signals], None],
        before_the_end: Callable[[], None],
    ) -> None:
        """Hear nothing yet.

        Args:
            deadline: Seconds from the first signal to the end.
            stop: Called in the event loop at the first signal.
            before_the_end: Called in some thread just before the process is ended hard.
        """
        self._deadline = deadline
        self._stop = stop
        self._before_the_end = before_the_end
        self._begun = threading.Event()
        self._begin_once = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signals: Sequence[signal.Signals] = ()

    def listen(self) -> None:
        """Hear the signals from now on; in the main thread, within the event loop."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._loop = asyncio.get_running_loop()
        heard, told = socket.socketpair()
        told.setblocking(False)
        before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        # Under nohup the runner is to outlive its terminal. (A shell ignores SIGINT for what it
        # starts in the background, and means nothing by it.)
        outlives = _HANG_UP is not None and signal.getsignal(_HANG_UP) is signal.SIG_IGN
        taken = [one for one in _SIGNALS if not (outlives and one is _HANG_UP)]
        self._signals = taken
        for number in taken:
            signal.signal(number, _heard_by_the_thread)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=partial(_hold_signals, taken),
                after_in_parent=_release_signals,
                after_in_child=partial(_forget, taken),
            )
        arguments = (heard, told, before)
        threading.Thread(target=self._hear, args=arguments, name="signals", daemon=True).start()

    def leave_loop(self) -> None:
        """The event loop is about to end: from now on any signal ends the process."""
        if self._loop is not None:
            for number in self._signals:
                signal.signal(number, signal.SIG_IGN if number is _HANG_UP else self._end_by)

    def begin(self) -> None:
        """The stop begins: from now on the deadline runs."""
        with self._begin_once:
            if self._begun.is_set():
                return
            self._begun.set()
        threading.Thread(target=self._watch, name="deadline", daemon=True).start()
        # In C, and without the interpreter's lock. What it writes could block as well.
        nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process lives
        seconds = self._deadline + _GRACE + _LAST_WORDS + _WITHOUT_PYTHON
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)

    def end(self, why: str, code: int) -> None:
        """End the process at once."""
        try:
            words = threading.Thread(target=self._last_words, args=(why,), daemon=True)
            words.start()
            words.join(_LAST_WORDS)
        finally:
            os._exit(code)

    @property
    def too_late(self) -> str:
        """Why it is ended at the deadline."""
        return f"not stopped within shutdown_timeout ({format_duration(self._deadline)})"

    def _end_by(self, number: int, frame: object) -> None:
        self.end(f"second {signal.Signals(number).name}", 128 + number)

    # In threads.

    def _hear(self, heard: socket.socket, told: socket.socket, before: int) -> None:
        assert self._loop is not None
        while numbers := heard.recv(64):
            for number in numbers:
                if number not in self._signals:
                    _pass_on(number, before)  # one that the event loop has a handler for
                elif self._begun.is_set() and number == _HANG_UP:
                    continue  # the shell sends one, and the kernel too: it is no second signal
                elif self._begun.is_set():
                    self.end(f"second {signal.Signals(number).name}", 128 + number)
                else:
                    self.begin()
                    self._loop.call_soon_threadsafe(self._stop, signal.Signals(number))
        told.close()

    def _watch(self) -> None:
        threading.Event().wait(self._deadline + _GRACE)
        self.end(self.too_late, 1)

    def _last_words(self, why: str) -> None:
        self._before_the_end()
        log.error("ending at once: %s", why)


def _heard_by_the_thread(number: int, frame: object) -> None:
    """Python wants a handler; the thread is told by the interpreter itself."""


def _pass_on(number: int, descriptor: int) -> None:
    if descriptor != -1:
        try:
            os.write(descriptor, bytes([number]))
        except OSError:
            log.debug("signal %d could not be passed on", number)


# A process that is forked is not this one: what it is sent is its own, from its first moment on.

_held = threading.local()


def _hold_signals(signals: Sequence[signal.Signals]) -> None:
    _held.before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.before)


def _forget(signals: Sequence[signal.Signals]) -> None:
    signal.set_wakeup_fd(-1)
    for number in signals:
        signal.signal(number, signal.SIG_DFL)
    _release_signals()
