"""When what failed comes again: later each time, in its order, and never in a hot loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from temporal_runner.retry.backoff import (
    Backoff,
    NoOptions,
    Timing,
    WaitGenerator,
    constant,
    exponential,
)
from temporal_runner.runtime.storage.retries import Retries


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def until(self, retries: Retries) -> float:
        """Go on until something is due; for how long."""
        seconds = retries.next_in()
        assert seconds is not None
        self.now += seconds
        return seconds


def of(build: Callable[..., WaitGenerator], base: float = 0.5, most: float = 30.0) -> Backoff:
    return Backoff("test", build, Timing(base, most), NoOptions(), "none")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def retries(clock: Clock) -> Retries:
    return Retries(of(exponential), clock)


def test_what_fails_again_and_again_waits_longer_each_time_up_to_the_longest(
    retries: Retries, clock: Clock
) -> None:
    """By the strategy of the config."""
    delays = []
    for _ in range(10):
        retries.failed(1, "key", 0.0)
        delays.append(clock.until(retries))
        assert retries.due(10) == [(1, "key")]
        assert retries.due(10) == []
    assert delays[1:] == sorted(delays[1:])
    assert delays[-1] == 30.0


def test_what_is_asked_for_is_waited_for(retries: Retries) -> None:
    """As a server that says when."""
    retries.failed(1, "key", 120.0)
    assert retries.next_in() == 120.0


def broken(timing: Timing, options: NoOptions) -> WaitGenerator:
    yield 0.0
    raise RuntimeError("a plugin's strategy")


@pytest.mark.parametrize("build", [broken, constant])
def test_a_strategy_that_fails_or_never_waits_makes_no_hot_loop(
    clock: Clock, build: Callable[..., WaitGenerator]
) -> None:
    """What failed comes again all the same."""
    retries = Retries(of(build, base=0.000001), clock)
    for _ in range(5):
        retries.failed(1, "key", 0.0)
        assert clock.until(retries) >= 0.1
        assert retries.due(1) == [(1, "key")]


def test_what_is_behind_waits_and_comes_in_its_order(retries: Retries, clock: Clock) -> None:
    """One after the other, in whatever order it was found, and others meanwhile."""
    retries.failed(3, "key", 0.0)
    retries.behind(9, "key")
    for handed_back in (5, 4):
        retries.failed(handed_back, "key", 0.0)
    retries.behind(12, "key")
    retries.failed(6, "other", 50.0)
    order = []
    while "key" in retries:
        clock.until(retries)
        found = [one for one in retries.due(10) if one[1] == "key"]
        for entry, key in found:
            order.append(entry)
            if entry == 5 and order.count(5) == 1:
                retries.failed(entry, key, 0.0)
            else:
                retries.settled(entry, key)
    assert order == [3, 4, 5, 5, 9, 12]
    assert len(retries) == 1


def test_what_comes_back_out_of_order_stops_no_line(retries: Retries, clock: Clock) -> None:
    """An earlier one that is handed back while a later one is tried."""
    retries.failed(5, "key", 0.0)
    clock.until(retries)
    assert retries.due(1) == [(5, "key")]
    retries.failed(2, "key", 0.0)
    retries.settled(5, "key")
    clock.until(retries)
    assert retries.due(1) == [(2, "key")]
    retries.settled(2, "key")
    retries.settled(2, "key")
    assert len(retries) == 0


def test_no_more_than_asked_for(retries: Retries, clock: Clock) -> None:
    """So that many that fail leave room for others."""
    for entry in range(100):
        retries.failed(entry, f"key {entry}", 0.0)
    clock.now += 60
    assert len(retries.due(10)) == 10
    assert len(retries.due(1000)) == 90
    assert retries.next_in() is None
