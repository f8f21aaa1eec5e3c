"""A circuit per listener and connection: a Temporal that fails call after call is left alone.

A connection that is down is seen by its probe. But a server may answer probes and fail every call
that carries out a route: throttled, out of shards, an update that no worker takes. Then calls that
each wait for their time-out would pile up; an open circuit answers at once instead. What counts is
how many events fail, not how often: one that fails for ever stops no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from temporal_runner.errors import Busy, TransientError
from temporal_runner.events.event import Event
from temporal_runner.events.identity import event_key
from temporal_runner.retry.backoff import Backoff
from temporal_runner.values.durations import format_duration

_OPENS_AFTER = 10
"""Events that fail in a row, with no success between: fewer do in any restart of a server."""
_SHORTEST = 1.0
"""Seconds that it stays open at least."""
_LOOK_AGAIN = 0.2
"""Seconds after which another asks again while one call tries whether Temporal works."""


class CircuitBreaker:
    """Closed while calls succeed; open for a delay after failures in a row; then one call tries."""

    def __init__(
        self,
        backoff: Backoff,
        log: logging.LoggerAdapter[logging.Logger],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backoff = backoff
        self._log = log
        self._clock = clock
        self._delays = backoff.delays()
        self._failures = 0
        self._failing: set[int] = set()
        self._last_error = ""
        self._open_until: float | None = None
        self._trying = False
        self._closed = asyncio.Event()

    @property
    def error(self) -> str:
        """Why calls are refused; empty while they are not."""
        if self._open_until is None:
            return ""
        return f"Temporal fails {self._failures} calls in a row: {self._last_error}"

    def _left(self) -> float:
        """Seconds until a call may be tried; 0 is now."""
        if self._open_until is None:
            return 0.0
        left = max(0.0, self._open_until - self._clock())
        return _LOOK_AGAIN if self._trying and not left else left

    async def wait(self) -> None:
        """Return when a call may be tried."""
        while left := self._left():
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._closed.wait()

    def reset(self) -> None:
        """Close it: the server is another one now, or none, which the connection sees."""
        self._failures, self._open_until = 0, None
        self._failing.clear()
        self._delays = self._backoff.delays()
        self._closed.set()

    @contextmanager
    def call(self, event: Event) -> Iterator[None]:
        """Around one call: refuses it while open, and learns from what becomes of it.

        Args:
            event: What it is for.

        Raises:
            Busy: It is open.
        """
        if left := self._left():
            raise Busy(self.error, retry_after=max(left, _SHORTEST))
        tries = self._open_until is not None
        self._trying = tries
        try:
            yield
        except Busy:
            raise  # nothing has failed
        except TransientError as error:
            self._failed(error, event)
            raise
        except Exception:
            self._succeeded()  # Temporal answered: it is the event's fault
            raise
        else:
            self._succeeded()
        finally:
            if tries:
                self._trying = False

    def _succeeded(self) -> None:
        if self._open_until is not None:
            self._log.info("Temporal takes calls again")
        if self._failures:
            self.reset()

    def _failed(self, error: TransientError, event: Event) -> None:
        self._failures += 1
        self._failing.add(hash(event_key(event)))
        self._last_error = str(error)
        if len(self._failing) < _OPENS_AFTER:
            return
        delay = max(_SHORTEST, self._delays.next(error))
        opens = self._open_until is None
        self._open_until = self._clock() + delay
        self._closed.clear()
        if opens:
            self._log.warning("%s; the next in %s", self.error, format_duration(delay))
