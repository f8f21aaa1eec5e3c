"""The contract of a backoff strategy as tests: subclass it, name the kind, run pytest."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any, get_args

import pytest

from temporal_runner.plugin.catalog import resolve
from temporal_runner.retry.backoff import (
    Backoff,
    BackoffKind,
    Delays,
    Jitter,
    Timing,
    WaitGenerator,
)

TIMINGS = {
    "usual": Timing(0.5, 30),
    "slow": Timing(1, 3600),
    "factor 1": Timing(0.5, 30, 1),
    "factor 1000": Timing(0.5, 30, 1000),
    "equal delays": Timing(2, 2),
    "base longer than max": Timing(60, 1),
    "shortest": Timing(1e-6, 1e-6),
    "longest": Timing(8.64e13, 8.64e13),
    "widest": Timing(1e-6, 8.64e13),
}
"""What a config may ask for, its extremes included."""

each_timing = pytest.mark.parametrize("timing", TIMINGS.values(), ids=TIMINGS.keys())


class BackoffConformance:
    """The promises of a backoff strategy, each a test. Subclass it as `TestMyStrategy`.

    Attributes:
        kind: The declaration, as the plugin's hook yields it.
        options: What a config would write under `retry.options`.
        random: It draws its delays: two sequences need not be equal.
    """

    kind: BackoffKind
    options: Mapping[str, Any] = {}
    random: bool = False

    def waits(self, timing: Timing) -> WaitGenerator:
        """A new wait generator, primed as the runner primes it."""
        waits: WaitGenerator = resolve(self.kind.build)(timing, self._options())
        waits.send(None)
        return waits

    def delays(self, timing: Timing, jitter: Jitter = "none") -> Delays:
        """A new sequence of delays, cut and jittered as the runner does it."""
        kind = self.kind
        return Backoff(kind.name, resolve(kind.build), timing, self._options(), jitter).delays()

    def test_its_declaration_is_sound(self) -> None:
        """It has a name without blanks, a summary of one line, a known jitter, and it imports."""
        assert self.kind.name, "the strategy has no name"
        assert not any(map(str.isspace, self.kind.name)), f"{self.kind.name!r} has blanks in it"
        assert self.kind.summary, "the summary is empty"
        assert "\n" not in self.kind.summary, "the summary has to be one line"
        assert self.kind.jitter in get_args(Jitter), f"there is no jitter {self.kind.jitter!r}"
        assert callable(resolve(self.kind.build))

    @each_timing
    def test_it_yields_lengths_of_time(self, timing: Timing) -> None:
        """Each delay is a number of seconds, zero or more: never text, None, nan or negative."""
        waits = self.waits(timing)
        for attempt in range(1, 201):
            delay = waits.send(OSError("down"))
            assert isinstance(delay, int | float), f"delay {attempt} is no number: {delay!r}"
            assert not isinstance(delay, bool), f"delay {attempt} is no number: {delay!r}"
            assert not math.isnan(delay), f"delay {attempt} is nan"
            assert delay >= 0, f"delay {attempt} is negative: {delay!r}"

    @each_timing
    @pytest.mark.parametrize("jitter", get_args(Jitter))
    def test_delays_stay_within_bounds(self, timing: Timing, jitter: Jitter) -> None:
        """With each jitter every delay lies between 0 and max_delay."""
        delays = self.delays(timing, jitter)
        for _ in range(200):
            assert 0 <= delays.next() <= timing.max_delay

    @each_timing
    def test_it_never_ends(self, timing: Timing) -> None:
        """10,000 attempts each get a delay: no overflow, no end, no error."""
        delays = self.delays(timing)
        for attempt in range(1, 10_001):
            try:
                delays.next(OSError("down"))
            except Exception as error:
                raise AssertionError(f"attempt {attempt} got no delay: {error}") from error

    def test_it_lets_a_server_breathe(self) -> None:
        """Its delays do not stay 0: that would be a loop that never waits."""
        delays = self.delays(TIMINGS["usual"])
        assert any(delays.next() > 0 for _ in range(100)), "100 delays of 0"

    def test_it_waits_for_nothing_itself(self) -> None:
        """It says how long to wait, and does not wait: that would stop the runner's loop."""
        waits = self.waits(TIMINGS["usual"])
        started = time.perf_counter()
        for _ in range(100):
            waits.send(OSError("down"))
        took = time.perf_counter() - started
        assert took < 0.5, f"100 delays took {took:.2f}s to say"

    def test_each_sequence_begins_anew(self) -> None:
        """Sequences share nothing: one that is used does not change where the next begins."""
        if self.random:
            pytest.skip("its delays are random")
        timing = TIMINGS["usual"]
        expected = _first(20, self.delays(timing))
        used, fresh = self.delays(timing), self.delays(timing)
        _first(10, used)
        assert _first(20, fresh) == expected, "a used sequence changed another one"
        assert _first(20, self.delays(timing)) == expected, "a second sequence begins elsewhere"

    @pytest.mark.parametrize("error", [None, OSError(), ValueError("x"), TimeoutError("y" * 1000)])
    def test_it_takes_any_error(self, error: Exception | None) -> None:
        """It is sent the error that the delay is for, whatever that is, and still says a delay."""
        assert self.delays(TIMINGS["usual"]).next(error) >= 0

    def _options(self) -> Any:
        return self.kind.options.model_validate(dict(self.options))


def _first(count: int, delays: Delays) -> list[float]:
    return list(islice(iter(delays.next, object()), count))
