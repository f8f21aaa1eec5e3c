"""Puts messages into a queue at a steady rate: what the queue took is acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Feeder:
    """Feeds from a thread of its own.

    Attributes:
        sent: The events that it put, or tried to.
        acknowledged: Those that the queue took.
    """

    def __init__(self, put: Callable[[int], str], *, total: int, rate: float) -> None:
        """Put nothing yet.

        Args:
            put: Puts the event of a number, once or several times, and returns its name.
            total: How many events.
            rate: Events a second.
        """
        self.sent: list[str] = []
        self.acknowledged: set[str] = set()
        self._put = put
        self._total = total
        self._rate = rate
        self._ended = threading.Event()
        self._pause = threading.Lock()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def finish(self, *, within: float = 300.0) -> None:
        """Wait until all events are in the queue."""
        self._thread.join(within)
        assert not self._thread.is_alive(), f"{len(self.sent)} of {self._total} put in {within:g}s"
        if self._error is not None:
            raise self._error

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within this block nothing is put."""
        with self._pause:
            yield

    def _run(self) -> None:
        began = time.monotonic()
        try:
            for number in range(self._total):
                if self._ended.wait(max(0.0, began + number / self._rate - time.monotonic())):
                    return
                with self._pause:
                    name = self._put(number)
                self.sent.append(name)
                self.acknowledged.add(name)
        except Exception as error:
            self._error = error
