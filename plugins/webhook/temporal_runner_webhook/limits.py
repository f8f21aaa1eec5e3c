"""What one listener takes at a time: requests under way, bytes held, events in a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from http import HTTPStatus

from temporal_runner_webhook.config import RateOptions, WebhookOptions
from temporal_runner_webhook.request import Refusal


def _too_many(detail: str, retry_after: float) -> Refusal:
    seconds = str(max(1, math.ceil(retry_after))).encode()
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, ((b"retry-after", seconds),))


class Rate:
    """A bucket of tokens, one an event, that fills steadily."""

    def __init__(self, options: RateOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = options.events / options.per.total_seconds()
        self._most = float(options.burst or options.events)
        self._tokens = self._most
        self._clock = clock
        self._filled = clock()

    def take(self, events: int) -> None:
        """Take tokens for some events that came together.

        A batch larger than the bucket is taken when the bucket is full, and leaves a debt.

        Raises:
            Refusal: 429, with the time after which there are enough.
        """
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        missing = min(float(events), self._most) - self._tokens
        # A rounding error of the clock's is no reason to refuse.
        if missing > 1e-6:
            raise _too_many("more events than this listener takes", missing / self._per_second)
        self._tokens -= events


class Limits:
    """The limits of one listener, and what its requests hold of them."""

    def __init__(self, options: WebhookOptions) -> None:
        self._most_requests = options.max_concurrent
        self._most_bytes = options.max_buffered
        self._rate = Rate(options.rate) if options.rate else None
        self.requests = 0
        self.bytes = 0

    def enter(self) -> Held:
        """Begin a request; `leave` what this returns when it ends.

        Raises:
            Refusal: 429, there are too many.
        """
        if self.requests >= self._most_requests:
            raise _too_many("too many requests at a time", 1)
        return Held(self)

    def check_room(self, size: int) -> None:
        """See that there is room for so many bytes more.

        Raises:
            Refusal: 429, there is not.
        """
        if self.bytes + size > self._most_bytes:
            raise _too_many("the bodies of other requests fill the room", 1)

    def take(self, events: int) -> None:
        """Count events against the rate.

        Raises:
            Refusal: 429, there were too many.
        """
        if self._rate is not None:
            self._rate.take(events)


class Held:
    """What one request holds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0
        limits.requests += 1

    def hold(self, size: int) -> None:
        """Take room for bytes.

        Raises:
            Refusal: 429, there is none.
        """
        self._limits.check_room(size)
        self._limits.bytes += size
        self._bytes += size

    def leave(self) -> None:
        """Give it all back."""
        self._limits.requests -= 1
        self._limits.bytes -= self._bytes
