"""An event that is at fault itself is told from an outage by what becomes of the others."""

from __future__ import annotations

import logging

import pytest

from temporal_runner.errors import TransientError
from temporal_runner.events.event import Event
from temporal_runner.retry.connector import DEFAULT
from temporal_runner.runtime.listeners.circuit_breaker import CircuitBreaker
from temporal_runner.runtime.listeners.failing_events import FailingEvents


def of(name: object) -> Event:
    return Event(id=str(name), source="test", type="put")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failing(clock: Clock) -> FailingEvents:
    return FailingEvents(clock)


POISON = of("poison")


def test_an_event_that_fails_while_others_succeed_is_at_fault(
    failing: FailingEvents, clock: Clock
) -> None:
    """After ten failures and a minute."""
    for turn in range(11):
        assert failing.verdict(POISON, "start A") == ""
        failing.failed(POISON, "start A")
        failing.succeeded(of(turn), "start A")
        clock.now += 6
    assert failing.verdict(POISON, "start A") == ("failed 11 times in 1m6s while others succeeded")
    failing.forget(POISON, "start A")
    assert failing.verdict(POISON, "start A") == ""


def test_a_hasty_sender_makes_no_outage_of_a_second_a_fault(
    failing: FailingEvents, clock: Clock
) -> None:
    """However often it tries."""
    for turn in range(1000):
        failing.failed(POISON, "start A")
        failing.succeeded(of(turn), "start A")
        clock.now += 0.05
    assert failing.verdict(POISON, "start A") == ""


def test_where_all_fail_none_is_at_fault(failing: FailingEvents, clock: Clock) -> None:
    """An outage, however long."""
    for _ in range(100):
        for one in range(50):
            failing.failed(of(one), "start A")
        clock.now += 30
    assert not any(failing.verdict(of(one), "start A") for one in range(50))


def test_where_most_fail_none_is_at_fault(failing: FailingEvents, clock: Clock) -> None:
    """Throttled: now and then one gets through."""
    for turn in range(100):
        failing.failed(POISON, "start A")
        for one in range(5):
            failing.failed(of(f"{turn}-{one}"), "start A")
        failing.succeeded(of(turn), "start A")
        clock.now += 30
    assert failing.verdict(POISON, "start A") == ""


def test_a_hundred_that_fail_for_ever_are_each_at_fault(
    failing: FailingEvents, clock: Clock
) -> None:
    """Though they fail more often than others succeed: they began to once."""
    poisons = [of(f"poison-{number}") for number in range(100)]
    for turn in range(12):
        for one in poisons:
            failing.failed(one, "start A")
        failing.succeeded(of(turn), "start A")
        clock.now += 20
    assert all(failing.verdict(one, "start A") for one in poisons)


def test_what_another_route_does_says_nothing(failing: FailingEvents, clock: Clock) -> None:
    """Updates that no worker takes, while starts succeed."""
    for turn in range(100):
        failing.failed(POISON, "update A")
        failing.succeeded(of(turn), "start A")
        clock.now += 30
    assert failing.verdict(POISON, "update A") == ""


def test_a_success_ends_it(failing: FailingEvents, clock: Clock) -> None:
    """The count begins anew."""
    for turn in range(10):
        failing.failed(POISON, "start A")
        failing.succeeded(of(turn), "start A")
        clock.now += 30
    failing.succeeded(POISON, "start A")
    failing.failed(POISON, "start A")
    assert failing.verdict(POISON, "start A") == ""


def test_what_is_remembered_is_bounded(failing: FailingEvents) -> None:
    """However many fail, and however long their IDs are."""
    for number in range(20_000):
        failing.failed(of(f"{number}-" + "x" * 1000), "start A")
    assert len(failing._failing) == 10_000


# The circuit of all. ------------------------------------------------------------------------------


@pytest.fixture
def circuit(clock: Clock) -> CircuitBreaker:
    log = logging.LoggerAdapter(logging.getLogger("test"), {})
    return CircuitBreaker(DEFAULT.backoff, log, clock)


def fail(circuit: CircuitBreaker, event: Event) -> None:
    with pytest.raises(TransientError), circuit.call(event):
        raise TransientError("UNAVAILABLE")


def test_one_event_never_opens_the_circuit_of_all(circuit: CircuitBreaker) -> None:
    """Nor do nine."""
    for _ in range(100):
        for one in range(9):
            fail(circuit, of(one))
    assert circuit.error == ""
    fail(circuit, of("the tenth"))
    assert circuit.error.startswith("Temporal fails 901 calls in a row: UNAVAILABLE")


def test_a_success_between_them_keeps_it_closed(circuit: CircuitBreaker) -> None:
    """A hundred that fail for ever among others that do not."""
    for turn in range(100):
        for one in range(5):
            fail(circuit, of(f"poison {turn} {one}"))
        with circuit.call(of(turn)):
            pass
    assert circuit.error == ""
