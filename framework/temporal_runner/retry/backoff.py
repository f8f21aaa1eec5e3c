"""Backoff strategies: how long to wait before the next attempt.

A strategy is what the `backoff` library calls a wait generator. It is primed with `send(None)`
(its first yield is dropped), then receives each error and yields the seconds to wait. So that
library's generators are strategies as they are, and a plugin's is written in the same way. It is
imported when a delay is drawn: an environment that has lost it still imports the runner, which then
says what is missing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel

from temporal_runner.errors import PluginError
from temporal_runner.values.options import Options

WaitGenerator = Generator[float, Any, None]
Jitter = Literal["full", "equal", "none"]

_SHORTEST = timedelta.resolution.total_seconds()
_LONGEST = timedelta.max.total_seconds()
"""Between these two, what a config can say, no strategy's arithmetic overflows."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The options that every strategy is given, from `retry:` in the config.

    Attributes:
        base_delay: Seconds; the first delay, or the unit of the later ones.
        max_delay: Seconds; no delay is longer, whatever the strategy yields. It may be shorter
            than `base_delay`, and then is every delay.
        factor: By how much a delay grows, 1 or more; None means the strategy's own default.

    Raises:
        ValueError: A delay is not a length of time that a timedelta can hold, or is zero; or the
            factor would make delays shrink.
    """

    base_delay: float
    max_delay: float
    factor: float | None = None

    def __post_init__(self) -> None:
        for name in ("base_delay", "max_delay"):
            if not _SHORTEST <= getattr(self, name) <= _LONGEST:
                raise ValueError(f"{name}: must be longer than 0 and shorter than 10^9 days")
        if self.factor is not None and not 1 <= self.factor < math.inf:
            raise ValueError("factor: must be 1 or more")


BuildWaits = Callable[[Timing, Any], WaitGenerator]


class NoOptions(Options):
    """A strategy without options of its own."""


@dataclass(frozen=True, slots=True)
class BackoffKind:
    """The declaration of a backoff strategy, as `runner_backoff_strategies` yields it.

    Attributes:
        name: What a config writes after `strategy:`.
        summary: One line for `runner plugins`.
        build: A callable that takes the `Timing` and the options and returns a new wait
            generator, or a string "package.module:function".
        options: The pydantic model of `retry.options:`, for what `Timing` does not say.
        jitter: The jitter used where the config names none. A strategy that draws its delays at
            random says "none".
    """

    name: str
    summary: str
    build: BuildWaits | str
    options: type[BaseModel] = NoOptions
    jitter: Jitter = "full"


def exponential(timing: Timing, options: NoOptions) -> WaitGenerator:
    """Each delay `factor` (2) times the one before."""
    from backoff import expo

    return expo(base=timing.factor or 2, factor=timing.base_delay, max_value=timing.max_delay)


def fibonacci(timing: Timing, options: NoOptions) -> WaitGenerator:
    """Delays grow as the Fibonacci numbers, in units of the base delay."""
    from backoff import fibo

    numbers = fibo(max_value=math.ceil(timing.max_delay / timing.base_delay))
    numbers.send(None)
    yield 0.0
    for number in numbers:
        yield number * timing.base_delay


def constant(timing: Timing, options: NoOptions) -> WaitGenerator:
    """The base delay each time."""
    while True:
        yield timing.base_delay


def decorrelated(timing: Timing, options: NoOptions) -> WaitGenerator:
    """Drawn between the base delay and `factor` (3) times the delay before.

    The formula is "decorrelated jitter" of the AWS Architecture Blog, "Exponential Backoff And
    Jitter" (2015); the backoff library has none, so this one keeps to its protocol.
    """
    yield 0.0
    delay = timing.base_delay
    while True:
        delay = min(
            timing.max_delay, random.uniform(timing.base_delay, delay * (timing.factor or 3))
        )
        yield delay


BUILT_IN = (
    BackoffKind("exponential", "each delay a factor (2) times the last", exponential),
    BackoffKind("fibonacci", "delays grow as the Fibonacci numbers", fibonacci),
    BackoffKind("constant", "the same delay each time", constant),
    BackoffKind(
        "decorrelated", "random, up to a factor (3) times the last", decorrelated, jitter="none"
    ),
)


def _full_jitter(delay: float) -> float:
    from backoff import full_jitter

    return full_jitter(delay)


def _equal_jitter(delay: float) -> float:
    return delay / 2 + random.uniform(0, delay / 2)


JITTERS: dict[Jitter, Callable[[float], float]] = {
    "full": _full_jitter,
    "equal": _equal_jitter,
    "none": lambda delay: delay,
}


@dataclass(frozen=True, slots=True)
class Backoff:
    """A strategy with its options: makes a new sequence of delays for each need.

    Attributes:
        name: The strategy's name, for logs.
        build: Makes a wait generator.
        timing: What it is given.
        options: The strategy's own options.
        jitter: What is done to each delay.
    """

    name: str
    build: BuildWaits
    timing: Timing
    options: BaseModel
    jitter: Jitter

    def delays(self) -> Delays:
        """A new sequence, at its beginning.

        Raises:
            PluginError: The strategy does not build a wait generator.
        """
        try:
            waits = self.build(self.timing, self.options)
            waits.send(None)
        # A strategy may be a plugin's: foreign code, which may raise anything.
        except Exception as error:
            raise self.failure("does not build a wait generator", error) from error
        return Delays(self, waits)

    def failure(self, problem: str, cause: Exception | None = None) -> PluginError:
        """The error that says what is wrong with the strategy."""
        why = f": {type(cause).__name__}: {cause}" if cause is not None else ""
        return PluginError(f"the backoff strategy {self.name!r} {problem}{why}")


@dataclass(slots=True)
class Delays:
    """One sequence of delays."""

    backoff: Backoff
    waits: WaitGenerator

    def next(self, error: BaseException | None = None) -> float:
        """Seconds to wait after this error: from 0 to `max_delay`, whatever the strategy yields.

        Raises:
            PluginError: The strategy ended, failed, or yielded what is not a number of seconds.
        """
        try:
            delay = float(self.waits.send(error))
        except StopIteration as end:
            raise self.backoff.failure("ended") from end
        except Exception as cause:
            raise self.backoff.failure("did not yield a number of seconds", cause) from cause
        if math.isnan(delay):
            raise self.backoff.failure("yielded nan")
        longest = self.backoff.timing.max_delay
        return JITTERS[self.backoff.jitter](min(max(delay, 0.0), longest))
