"""The shared retry connector: turns "may be down" into "connected", for Temporal and every source.

One loop serves all: each attempt is bounded in time, each failure is classified and logged, a
permanent one ends it at once with a next step, a transient one waits out the next delay.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TypeVar

from temporal_runner.errors import GaveUp, PermanentError, TransientError, UsageError
from temporal_runner.retry.backoff import Backoff, NoOptions, Timing, exponential
from temporal_runner.retry.port_watch import Look, PortWatch
from temporal_runner.values.durations import format_duration
from temporal_runner.values.wording import one_line

T = TypeVar("T")
_LAST_ATTEMPT = 1.0
"""Seconds before the time-out at which one last attempt is made, however long the delay was."""
_ATTEMPTS_LOGGED = 20
_LOG_EVERY = 60.0
REFUSED = "ConnectionRefused"
"""The kind of a failure that says that the port is closed."""
_no_wait: ContextVar[bool] = ContextVar("temporal_runner_no_wait", default=False)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a failed attempt means.

    Attributes:
        kind: A short name of the failure for logs, such as `ConnectionRefused`.
        summary: What happened, for people; empty where the error's own text says it best.
        permanent: Trying again cannot help.
        next_step: What a person should do or look at; empty where nothing is known.
        tries: For a failure that is probably permanent: how many in a row are enough to give up.
    """

    kind: str
    summary: str = ""
    permanent: bool = False
    next_step: str = ""
    tries: int | None = None


Diagnose = Callable[[Exception], Diagnosis]


def diagnose(error: Exception) -> Diagnosis:
    """The diagnosis where the caller has no better one: a wrong config is permanent too."""
    kind = type(error).__name__
    permanent = isinstance(error, PermanentError | UsageError)
    return Diagnosis(kind, permanent=permanent, next_step=getattr(error, "next_step", ""))


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """How something is retried: the `retry:` section of a config with its strategy resolved.

    Attributes:
        backoff: How long to wait between attempts.
        max_attempts: How many attempts, the first included; None means no limit.
        timeout: Seconds after which no further attempt is made; None means no limit. It ends an
            attempt that is under way too.
        attempt_timeout: Seconds that one attempt may take; None means no limit.
        wake_on_port: Try at once when the port opens, where whoever connects knows the port.
    """

    backoff: Backoff
    max_attempts: int | None = None
    timeout: float | None = None
    attempt_timeout: float | None = None
    wake_on_port: bool = True

    def without_limits(self) -> RetryOptions:
        """The same, tried for ever."""
        return replace(self, max_attempts=None, timeout=None)


DEFAULT = RetryOptions(
    Backoff("exponential", exponential, Timing(0.5, 30.0), NoOptions(), "full"),
    timeout=600.0,
    attempt_timeout=10.0,
)
"""What an absent `retry:` section means."""


@contextmanager
def no_wait() -> Iterator[None]:
    """Within this block, in this task and those it starts, delays are not waited out: for tests."""
    token = _no_wait.set(True)
    try:
        yield
    finally:
        _no_wait.reset(token)


class Connector:
    """Retries one thing that may be down.

    It keeps its place in the sequence of delays between calls: what fails again soon after it
    worked goes on waiting longer. `reset` starts the sequence, the count and the clock anew.

    Attributes:
        attempts: Attempts that failed since the thing was last healthy.
        last_error: The last failure as a line, or empty.
    """

    def __init__(
        self,
        what: str,
        options: RetryOptions = DEFAULT,
        *,
        diagnose: Diagnose = diagnose,
        log: logging.Logger | logging.LoggerAdapter[logging.Logger] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        look: Look | None = None,
    ) -> None:
        """Make a connector.

        Args:
            what: What is connected to, for logs and errors: "Temporal at localhost:7233".
            options: Delays and limits.
            diagnose: Tells permanent failures from transient ones.
            log: Where attempts are logged.
            clock: Seconds, monotonic.
            sleep: Waits that many seconds.
            look: Whether the port of the thing is open; None where it has none.
        """
        self.what = what
        self._options = options
        self._port_watch = PortWatch(look, clock, sleep) if look is not None else None
        self._diagnose = diagnose
        self._log = log or logging.getLogger("temporal_runner.retry")
        self._clock = clock
        self._sleep = sleep
        self.last_error = ""
        self.reset()

    def reset(self) -> None:
        """The thing works: the next failure is the first of a new sequence."""
        self.attempts = 0
        self._started: float | None = None
        self._alike = 0
        self._logged = 0.0
        self._last_kind = ""
        self._delays = self._options.backoff.delays()
        if self._port_watch is not None:
            self._port_watch.reset()

    def switch_to(self, options: RetryOptions) -> None:
        """From now on retry by other options, at the beginning of their delays."""
        self._options = options
        self.reset()

    async def call(self, attempt: Callable[[], Awaitable[T]], *, proves_health: bool = True) -> T:
        """Make attempts until one succeeds, and return what it returned.

        Args:
            attempt: Tries once.
            proves_health: A success is enough to start the delays anew. Where it is not, the
                caller says `reset` when it knows.

        Raises:
            PermanentError: A failure that trying again cannot mend.
            GaveUp: The limits are used up.
        """
        while True:
            if self._started is None:
                self._started = self._clock()
            try:
                result = await self._bounded(attempt)
            except Exception as error:
                await self.back_off_after(error)
            else:
                if self.attempts:
                    self._log.info(
                        "%s: succeeded at attempt %d after %s",
                        self.what,
                        self.attempts + 1,
                        format_duration(self._clock() - self._started),
                    )
                if proves_health:
                    self.reset()
                return result

    async def back_off_after(self, error: Exception) -> None:
        """Count and log a failure, then wait out its delay.

        Raises:
            PermanentError: A failure that trying again cannot mend.
            GaveUp: The limits are used up, or would be before the next attempt.
        """
        now = self._clock()
        if self._started is None:
            self._started = now
        elapsed = now - self._started
        self.attempts += 1
        diagnosis = self._diagnose(error)
        self._alike = self._alike + 1 if diagnosis.kind == self._last_kind else 1
        self._last_kind = diagnosis.kind
        self.last_error = diagnosis.summary or _cause(error)
        if diagnosis.permanent or (diagnosis.tries is not None and self._alike >= diagnosis.tries):
            self._log.error(
                "%s: attempt %d failed, permanent %s: %s (elapsed %s)",
                self.what,
                self.attempts,
                diagnosis.kind,
                self.last_error,
                format_duration(elapsed),
            )
            if isinstance(error, PermanentError):
                raise error
            raise PermanentError(
                f"{self.what}: {self.last_error}", next_step=diagnosis.next_step
            ) from error
        port_watch = self._port_watch if self._options.wake_on_port else None
        soon = port_watch.soon() if port_watch is not None else None
        delay = self._delays.next(error) if soon is None else soon
        if isinstance(error, TransientError) and error.retry_after is not None:
            delay = max(delay, error.retry_after)
        limit, delay = self._within_limits(elapsed, delay)
        self._log.log(
            self._level(now, bool(limit)),
            "%s: attempt %d failed, transient %s: %s (%s, elapsed %s)",
            self.what,
            self.attempts,
            diagnosis.kind,
            self.last_error,
            "giving up" if limit else f"next attempt in {format_duration(delay)}",
            format_duration(elapsed),
        )
        if limit:
            message = f"{self.what}: gave up after {limit}; the last error: {self.last_error}"
            if diagnosis.next_step:
                message += f"\n  next step: {diagnosis.next_step}"
            raise GaveUp(message, attempts=self.attempts) from error
        if _no_wait.get():
            await self._sleep(0.0)
        elif port_watch is None or soon is not None:
            await self._sleep(delay)
        else:
            refused = diagnosis.kind == REFUSED or isinstance(error, ConnectionRefusedError)
            await port_watch.wait(delay, closed=refused)

    def _level(self, now: float, last: bool) -> int:
        """Every early attempt is logged; of a long outage's later ones, one a minute."""
        if last or self.attempts <= _ATTEMPTS_LOGGED or now - self._logged >= _LOG_EVERY:
            self._logged = now
            return logging.WARNING
        return logging.DEBUG

    def _within_limits(self, elapsed: float, delay: float) -> tuple[str, float]:
        """The limit that is reached, if one is, and the delay cut to leave a last attempt."""
        options = self._options
        if options.max_attempts is not None and self.attempts >= options.max_attempts:
            return f"{self.attempts} attempt{'s' if self.attempts > 1 else ''}", delay
        if options.timeout is not None and elapsed + delay >= options.timeout:
            delay = options.timeout - elapsed - _LAST_ATTEMPT
            if delay <= _LAST_ATTEMPT:
                timeout = format_duration(options.timeout)
                return f"{format_duration(elapsed)} (timeout {timeout})", delay
        return "", delay

    async def _bounded(self, attempt: Callable[[], Awaitable[T]]) -> T:
        options = self._options
        bounds = [] if options.attempt_timeout is None else [options.attempt_timeout]
        if options.timeout is not None and self._started is not None:
            bounds.append(max(0.0, options.timeout - (self._clock() - self._started)))
        if not bounds:
            return await attempt()
        bound = min(bounds)
        try:
            async with asyncio.timeout(bound) as deadline:
                return await attempt()
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise TransientError(f"no answer within {format_duration(bound)}") from error


def _cause(error: BaseException) -> str:
    text = str(error) or repr(error)
    if isinstance(error, PermanentError):
        text = text.split("\n  next step: ")[0]
    return one_line(text)
