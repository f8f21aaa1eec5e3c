"""The built-in strategies' contract. It runs against backoff and against python-backoff.

`tests/retry/test_backoff.py` starts it a second time with the successor first on the path.
"""

from __future__ import annotations

import math
import os
import random
from importlib import metadata
from itertools import islice
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temporal_runner.retry.backoff import BUILT_IN, Backoff, BackoffKind, Delays, Jitter, Timing

JITTERS: tuple[Jitter, ...] = ("full", "equal", "none")
SHORTEST, LONGEST = 1e-6, 8.64e13
"""The range of a duration in a config, in seconds."""

KINDS = {kind.name: kind for kind in BUILT_IN}
each_strategy = pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)

usual = st.floats(0.001, 600)
extreme = st.floats(SHORTEST, LONGEST)
delays = st.one_of(usual, extreme, st.sampled_from([SHORTEST, LONGEST]))
factors = st.one_of(st.none(), st.just(1.0), st.floats(1, 10), st.floats(1, 1e308))
timings = st.builds(Timing, delays, delays, factors)


def sequence(kind: BackoffKind, timing: Timing, jitter: Jitter) -> Delays:
    assert callable(kind.build)
    return Backoff(kind.name, kind.build, timing, kind.options(), jitter).delays()


def first(count: int, kind: BackoffKind, timing: Timing, jitter: Jitter = "none") -> list[float]:
    waits = sequence(kind, timing, jitter)
    return [waits.next(OSError("down")) for _ in range(count)]


def capped(values: list[float], timing: Timing) -> Any:
    return pytest.approx([min(value, timing.max_delay) for value in values], rel=1e-6)


def test_the_library_under_test_is_the_intended_one() -> None:
    """The run against the successor is one against the successor."""
    import backoff

    expected = os.environ.get("EXPECTED_BACKOFF")
    if expected is None:
        assert int(metadata.version("backoff").split(".")[0]) == 2
    else:
        assert int(metadata.version("python-backoff").split(".")[0]) >= 3
        assert backoff.__file__.startswith(expected)


@each_strategy
@given(timing=timings, jitter=st.sampled_from(JITTERS))
@settings(deadline=None, max_examples=150)
def test_delays_stay_within_bounds(kind: BackoffKind, timing: Timing, jitter: Jitter) -> None:
    """Whatever the timing, no delay is negative or longer than max_delay."""
    for delay in first(120, kind, timing, jitter):
        assert 0 <= delay <= timing.max_delay


@each_strategy
@given(timing=timings)
@settings(deadline=None, max_examples=8)
def test_ten_thousand_attempts(kind: BackoffKind, timing: Timing) -> None:
    """A strategy never ends and never overflows: 10,000 attempts each get a delay."""
    waits = sequence(kind, timing, "none")
    assert all(0 <= waits.next() <= timing.max_delay for _ in range(10_000))


@pytest.mark.parametrize("name", ["exponential", "fibonacci"])
@given(base=usual, longest=usual)
@settings(deadline=None, max_examples=50)
def test_growing_delays_reach_the_longest(name: str, base: float, longest: float) -> None:
    """What grows grows up to max_delay exactly, never shrinks on the way, and stays there."""
    found = first(60, KINDS[name], Timing(base, longest))
    assert found == sorted(found)
    assert found[-1] == longest


@given(timing=timings)
@settings(deadline=None)
def test_exponential_multiplies_by_the_factor(timing: Timing) -> None:
    """The n-th delay is base_delay times factor to the n, up to max_delay."""
    factor = timing.factor or 2
    expected = [timing.base_delay * min(factor, 1e30) ** n for n in range(9)]
    assert first(9, KINDS["exponential"], timing) == capped(expected, timing)


@given(timing=timings)
@settings(deadline=None)
def test_fibonacci_grows_as_the_numbers_do(timing: Timing) -> None:
    """The delays are the Fibonacci numbers, in units of base_delay, up to max_delay."""
    expected = [number * timing.base_delay for number in (1, 1, 2, 3, 5, 8, 13, 21, 34, 55)]
    assert first(10, KINDS["fibonacci"], timing) == capped(expected, timing)


@given(timing=timings)
@settings(deadline=None)
def test_constant_repeats_the_base_delay(timing: Timing) -> None:
    """Each delay is base_delay, or max_delay where that is shorter."""
    expected = min(timing.base_delay, timing.max_delay)
    assert first(20, KINDS["constant"], timing) == [expected] * 20


@given(timing=timings)
@settings(deadline=None)
def test_decorrelated_is_drawn_from_its_range(timing: Timing) -> None:
    """Each delay lies between base_delay and the factor (3) times the one before."""
    before = timing.base_delay
    for delay in first(50, KINDS["decorrelated"], timing):
        highest = max(timing.base_delay, before * min(timing.factor or 3, 1e30))
        assert min(timing.base_delay, timing.max_delay) * 0.999 <= delay
        assert delay <= min(highest * 1.001, timing.max_delay)
        before = delay


def test_decorrelated_spreads_over_its_whole_range() -> None:
    """Its first delay is uniform between base_delay and three times that, a mean of twice."""
    random.seed(1)
    timing = Timing(1, 1000)
    firsts = [first(1, KINDS["decorrelated"], timing)[0] for _ in range(5_000)]
    assert fmean(firsts) == pytest.approx(2, rel=0.02)
    assert min(firsts) < 1.01
    assert max(firsts) > 2.99


@pytest.mark.parametrize(("jitter", "mean"), [("full", 0.5), ("equal", 0.75), ("none", 1.0)])
@pytest.mark.parametrize("name", ["exponential", "fibonacci", "constant"])
def test_mean_of_each_jitter(name: str, jitter: Jitter, mean: float) -> None:
    """Full jitter halves the mean delay, equal jitter takes a quarter off, none leaves it."""
    random.seed(1)
    found = first(20_000, KINDS[name], Timing(2, 2), jitter)
    assert fmean(found) == pytest.approx(2 * mean, rel=0.01)
    lowest = {"full": 0.0, "equal": 1.0, "none": 2.0}[jitter]
    assert lowest <= min(found) <= lowest + 0.01
    assert max(found) <= 2


@each_strategy
def test_each_sequence_begins_anew(kind: BackoffKind) -> None:
    """Two sequences of one strategy share nothing: a new one starts at the first delay."""
    assert callable(kind.build)
    backoff = Backoff(kind.name, kind.build, Timing(1, 1e6), kind.options(), "none")
    used, fresh = backoff.delays(), backoff.delays()
    list(islice(iter(used.next, None), 30))
    assert fresh.next() <= 3


@each_strategy
def test_an_error_is_taken_and_does_not_matter(kind: BackoffKind) -> None:
    """A built-in strategy receives each error and waits alike for all of them."""
    waits = sequence(kind, Timing(1, 30), "none")
    assert all(math.isfinite(waits.next(error)) for error in (None, OSError(), ValueError("x")))
