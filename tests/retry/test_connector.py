"""The retry connector, on a clock of the test's own: nothing here waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import pytest

from temporal_runner.errors import GaveUp, PermanentError, TransientError, UsageError
from temporal_runner.retry.backoff import Backoff, NoOptions, Timing, exponential
from temporal_runner.retry.connector import DEFAULT, Connector, Diagnosis, RetryOptions, no_wait

DOUBLING = RetryOptions(Backoff("exponential", exponential, Timing(1, 30), NoOptions(), "none"))
"""Delays of 1, 2, 4, 8, 16, 30, 30 … seconds, without limits."""


class Clock:
    """A clock that moves only when somebody sleeps, or an attempt takes time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) > 1000:
            pytest.fail("it does not stop trying")
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connector(clock: Clock) -> Callable[..., Connector]:
    def make(options: RetryOptions = DOUBLING, **more: Any) -> Connector:
        return Connector("the queue", options, clock=clock, sleep=clock.sleep, **more)

    return make


MakeConnector = Callable[..., Connector]


class Attempt:
    """Fails with each of some errors in turn (the last one for ever), or returns "connected"."""

    def __init__(self, *errors: Exception | None, clock: Clock | None = None, takes: float = 0):
        self.errors = list(errors)
        self.calls: list[float] = []
        self._clock = clock
        self._takes = takes

    async def __call__(self) -> str:
        if self._clock is not None:
            self.calls.append(self._clock.now)
            self._clock.now += self._takes
        else:
            self.calls.append(0)
        error = self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]
        if error is not None:
            raise error
        return "connected"


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


# Trying again. -----------------------------------------------------------------------------------


async def test_a_success_is_returned_at_once(clock: Clock, connector: MakeConnector) -> None:
    """What works at the first attempt costs nothing: no delay, no log line."""
    assert await connector().call(Attempt(None)) == "connected"
    assert clock.slept == []


async def test_transient_failures_are_waited_out(clock: Clock, connector: MakeConnector) -> None:
    """Each failure waits the strategy's next delay, until an attempt succeeds."""
    attempt = Attempt(OSError("a"), ValueError("b"), TransientError("c"), OSError("d"), None)
    assert await connector().call(attempt) == "connected"
    assert clock.slept == [1, 2, 4, 8]


async def test_delays_go_to_the_strategy_with_the_error(connector: MakeConnector) -> None:
    """The strategy is sent the error that the delay is for."""
    seen: list[BaseException | None] = []

    def build(timing: Timing, options: NoOptions) -> Generator[float, Any, None]:
        error = yield 0.0
        while True:
            seen.append(error)
            error = yield 1.0

    first, second = OSError("first"), OSError("second")
    options = RetryOptions(Backoff("noting", build, Timing(1, 30), NoOptions(), "none"))
    await connector(options).call(Attempt(first, second, None))
    assert seen == [first, second]


async def test_a_longer_retry_after_is_obeyed(clock: Clock, connector: MakeConnector) -> None:
    """Who asks for more patience than the strategy has gets it; who asks for less does not."""
    errors = [TransientError("busy", retry_after=seconds) for seconds in (90, 0.1, None)]
    await connector().call(Attempt(*errors, None))
    assert clock.slept == [90, 2, 4]


async def test_cancelling_ends_the_delay(connector: MakeConnector) -> None:
    """A task that waits for its next attempt can be cancelled, and makes no other."""
    waiting = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    attempt = Attempt(OSError("down"))
    task = asyncio.create_task(Connector("the queue", DOUBLING, sleep=sleep).call(attempt))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(attempt.calls) == 1


async def test_cancelling_ends_the_attempt(connector: MakeConnector) -> None:
    """An attempt under way is cancelled, which is no failure: it is not tried again."""
    attempting = asyncio.Event()
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        attempting.set()
        await asyncio.Event().wait()

    retrying = connector(replace(DOUBLING, attempt_timeout=60, timeout=60))
    task = asyncio.create_task(retrying.call(attempt))
    await attempting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == 1
    assert retrying.attempts == 0


# Limits. -----------------------------------------------------------------------------------------


async def test_max_attempts_counts_the_first(clock: Clock, connector: MakeConnector) -> None:
    """After max_attempts failures it gives up at once, and says how often and why."""
    attempt = Attempt(OSError("no route"))
    with pytest.raises(GaveUp) as raised:
        await connector(replace(DOUBLING, max_attempts=3)).call(attempt)
    assert len(attempt.calls) == 3
    assert clock.slept == [1, 2]
    assert raised.value.attempts == 3
    assert isinstance(raised.value.__cause__, OSError)
    assert str(raised.value) == "the queue: gave up after 3 attempts; the last error: no route"


async def test_one_attempt_is_one(clock: Clock, connector: MakeConnector) -> None:
    """max_attempts 1 means no second try, and no delay before that is said."""
    with pytest.raises(GaveUp, match="gave up after 1 attempt;"):
        await connector(replace(DOUBLING, max_attempts=1)).call(Attempt(OSError("x")))
    assert clock.slept == []


async def test_a_timeout_leaves_a_last_attempt(clock: Clock, connector: MakeConnector) -> None:
    """A delay that would pass the time-out is cut: one last attempt is made a second before."""
    attempt = Attempt(OSError("down"), clock=clock)
    with pytest.raises(GaveUp, match=r"gave up after 19s \(timeout 20s\)"):
        await connector(replace(DOUBLING, timeout=20)).call(attempt)
    assert [called - 1000 for called in attempt.calls] == [0, 1, 3, 7, 15, 19]


async def test_the_last_attempt_may_succeed(clock: Clock, connector: MakeConnector) -> None:
    """What comes up between the last regular attempt and the time-out is still reached."""
    attempt = Attempt(*[OSError("down")] * 5, None, clock=clock)
    assert await connector(replace(DOUBLING, timeout=20)).call(attempt) == "connected"


async def test_a_retry_after_beyond_the_timeout_is_cut(
    clock: Clock, connector: MakeConnector
) -> None:
    """Nobody's retry_after makes the connector wait past its own time-out."""
    attempt = Attempt(TransientError("busy", retry_after=3600), clock=clock)
    with pytest.raises(GaveUp):
        await connector(replace(DOUBLING, timeout=20)).call(attempt)
    assert [called - 1000 for called in attempt.calls] == [0, 19]


async def test_slow_attempts_count_too(clock: Clock, connector: MakeConnector) -> None:
    """The time-out is on the clock, not on the delays: slow attempts use it up as well."""
    attempt = Attempt(OSError("down"), clock=clock, takes=9)
    with pytest.raises(GaveUp, match=r"gave up after 19s \(timeout 20s\)"):
        await connector(replace(DOUBLING, timeout=20)).call(attempt)
    assert [called - 1000 for called in attempt.calls] == [0, 10]


async def test_an_attempt_is_bounded_in_time(clock: Clock, connector: MakeConnector) -> None:
    """An attempt that hangs ends after attempt_timeout, and is a transient failure."""

    async def hang() -> None:
        await asyncio.Event().wait()

    retrying = connector(replace(DOUBLING, attempt_timeout=0.01, max_attempts=2))
    with pytest.raises(GaveUp, match="the last error: no answer within 10ms"):
        await retrying.call(hang)
    assert clock.slept == [1]


async def test_the_timeout_ends_an_attempt_under_way(
    clock: Clock, connector: MakeConnector
) -> None:
    """An attempt may take no longer than what is left of the time-out."""

    async def hang() -> None:
        await asyncio.Event().wait()

    retrying = connector(replace(DOUBLING, attempt_timeout=60, timeout=0.02))
    with pytest.raises(GaveUp, match="no answer within 20ms"):
        await asyncio.wait_for(retrying.call(hang), 10)


async def test_a_timeout_of_the_attempts_own_keeps_its_name(connector: MakeConnector) -> None:
    """A TimeoutError that the attempt raises itself is not taken for ours."""
    retrying = connector(replace(DOUBLING, attempt_timeout=60, max_attempts=1))
    with pytest.raises(GaveUp, match="the last error: the disk"):
        await retrying.call(Attempt(TimeoutError("the disk")))


async def test_without_limits_it_goes_on(clock: Clock, connector: MakeConnector) -> None:
    """`without_limits` lifts max_attempts and timeout and nothing else."""
    options = replace(DOUBLING, max_attempts=2, timeout=5, attempt_timeout=7)
    assert options.without_limits() == replace(DOUBLING, attempt_timeout=7)
    attempt = Attempt(*[OSError("down")] * 500, None)
    assert await connector(options.without_limits()).call(attempt) == "connected"
    assert len(clock.slept) == 500
    assert clock.slept[-1] == 30


# Permanent or transient. -------------------------------------------------------------------------


@pytest.mark.parametrize("error", [PermanentError("wrong key", next_step="renew it")])
async def test_a_permanent_error_ends_it(
    clock: Clock, connector: MakeConnector, error: PermanentError
) -> None:
    """PermanentError goes through as it is, at once, with its next step."""
    attempt = Attempt(error)
    with pytest.raises(PermanentError) as raised:
        await connector().call(attempt)
    assert raised.value is error
    assert "next step: renew it" in str(raised.value)
    assert len(attempt.calls) == 1
    assert clock.slept == []


async def test_a_usage_error_is_permanent(connector: MakeConnector) -> None:
    """A wrong config does not mend itself by being tried again."""
    attempt = Attempt(UsageError("no such file"))
    with pytest.raises(PermanentError, match="the queue: no such file"):
        await connector().call(attempt)
    assert len(attempt.calls) == 1


def by_text(error: Exception) -> Diagnosis:
    """A classifier as a caller may give one."""
    match str(error).split(maxsplit=1)[0]:
        case "cert":
            return Diagnosis("BadCert", "the certificate is wrong", True, "look at `tls`")
        case "denied":
            return Diagnosis("Denied", next_step="ask for the right", tries=3)
    return Diagnosis("Odd", "an odd thing")


async def test_the_classifier_decides(connector: MakeConnector) -> None:
    """A failure that the caller's classifier calls permanent ends it, with summary and step."""
    cause = OSError("cert broken")
    with pytest.raises(PermanentError) as raised:
        await connector(diagnose=by_text).call(Attempt(cause))
    assert str(raised.value) == ("the queue: the certificate is wrong\n  next step: look at `tls`")
    assert raised.value.next_step == "look at `tls`"
    assert raised.value.__cause__ is cause


async def test_probably_permanent_is_tried_a_few_times(connector: MakeConnector) -> None:
    """A failure with `tries` ends it only when so many of it came in a row."""
    denied, odd = OSError("denied"), OSError("odd")
    attempt = Attempt(denied, denied, odd, denied, denied, denied, None)
    with pytest.raises(PermanentError, match="ask for the right"):
        await connector(diagnose=by_text).call(attempt)
    assert len(attempt.calls) == 6


async def test_giving_up_tells_the_next_step(connector: MakeConnector) -> None:
    """Also a failure that was waited out for too long says what to do, where that is known."""
    options = replace(DOUBLING, max_attempts=1)
    with pytest.raises(GaveUp, match="the last error: denied\n  next step: ask for the right"):
        await connector(options, diagnose=by_text).call(Attempt(OSError("denied")))


# Health. -----------------------------------------------------------------------------------------


async def test_a_success_starts_the_delays_anew(clock: Clock, connector: MakeConnector) -> None:
    """After a success the next failure is a first one: shortest delay, count and clock at 0."""
    retrying = connector(replace(DOUBLING, max_attempts=3, timeout=20))
    await retrying.call(Attempt(OSError("a"), OSError("b"), None))
    assert retrying.attempts == 0
    clock.now += 3600
    await retrying.call(Attempt(OSError("a"), OSError("b"), None))
    assert clock.slept == [1, 2, 1, 2]


async def test_connected_is_not_yet_healthy(clock: Clock, connector: MakeConnector) -> None:
    """Where a success proves nothing, what fails again soon goes on waiting longer."""
    retrying = connector()
    for _ in range(3):
        await retrying.call(Attempt(None), proves_health=False)
        await retrying.back_off_after(OSError("fell over"))
    assert clock.slept == [1, 2, 4]
    assert retrying.attempts == 3
    retrying.reset()
    await retrying.back_off_after(OSError("fell over"))
    assert clock.slept == [1, 2, 4, 1]


async def test_health_forgets_failures_in_a_row(connector: MakeConnector) -> None:
    """`tries` counts since the thing was last healthy."""
    retrying = connector(diagnose=by_text)
    for _ in range(5):
        await retrying.back_off_after(OSError("denied"))
        await retrying.back_off_after(OSError("denied"))
        retrying.reset()


async def test_failed_alone_counts_and_limits(clock: Clock, connector: MakeConnector) -> None:
    """`failed` serves a caller with a loop of its own: it waits, and raises at the limit."""
    retrying = connector(replace(DOUBLING, max_attempts=2))
    await retrying.back_off_after(OSError("one"))
    assert (retrying.attempts, retrying.last_error, clock.slept) == (1, "one", [1])
    with pytest.raises(GaveUp, match="the last error: two"):
        await retrying.back_off_after(OSError("two"))


async def test_other_options_start_anew(clock: Clock, connector: MakeConnector) -> None:
    """`use` changes the options, at the beginning of their delays and without the old limits."""
    retrying = connector(replace(DOUBLING, max_attempts=2))
    await retrying.back_off_after(OSError("a"))
    slow = Backoff("exponential", exponential, Timing(5, 7), NoOptions(), "none")
    retrying.switch_to(RetryOptions(slow))
    for _ in range(3):
        await retrying.back_off_after(OSError("b"))
    assert clock.slept == [1, 5, 7, 7]


async def test_no_wait_skips_the_delays(clock: Clock, connector: MakeConnector) -> None:
    """Within no_wait() attempts follow at once, in this task and those it starts; after it, not."""
    with no_wait():
        await connector().call(Attempt(OSError("a"), OSError("b"), None))
        await asyncio.create_task(connector().call(Attempt(OSError("a"), None)))
    assert clock.slept == [0, 0, 0]
    await connector().call(Attempt(OSError("a"), None))
    assert clock.slept == [0, 0, 0, 1]


async def test_no_wait_keeps_the_limits(connector: MakeConnector) -> None:
    """Without waiting a bounded number of attempts is still bounded."""
    attempt = Attempt(OSError("a"))
    with no_wait(), pytest.raises(GaveUp):
        await connector(replace(DOUBLING, max_attempts=4)).call(attempt)
    assert len(attempt.calls) == 4


def test_the_default_is_bounded() -> None:
    """An absent retry section waits for 10 minutes, with 10 s an attempt and full jitter."""
    assert (DEFAULT.timeout, DEFAULT.attempt_timeout, DEFAULT.max_attempts) == (600, 10, None)
    assert (DEFAULT.backoff.name, DEFAULT.backoff.jitter) == ("exponential", "full")
    assert DEFAULT.backoff.timing == Timing(0.5, 30)


# The log. ----------------------------------------------------------------------------------------


async def test_each_attempt_is_logged(
    clock: Clock, connector: MakeConnector, caplog: pytest.LogCaptureFixture
) -> None:
    """A line an attempt: its number, class, kind, error, the next delay and the time elapsed."""
    caplog.set_level(logging.DEBUG)
    attempt = Attempt(ConnectionRefusedError("refused"), OSError("a\n b"), None, clock=clock)
    await connector().call(attempt)
    assert lines(caplog) == [
        (
            "the queue: attempt 1 failed, transient ConnectionRefusedError: refused"
            " (next attempt in 1s, elapsed 0ms)"
        ),
        "the queue: attempt 2 failed, transient OSError: a b (next attempt in 2s, elapsed 1s)",
        "the queue: succeeded at attempt 3 after 3s",
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]


async def test_the_end_is_logged(
    connector: MakeConnector, caplog: pytest.LogCaptureFixture
) -> None:
    """The last line says that it gives up, or that the failure is permanent."""
    with pytest.raises(GaveUp):
        await connector(replace(DOUBLING, max_attempts=1)).call(Attempt(OSError("x")))
    with pytest.raises(PermanentError):
        await connector(diagnose=by_text).call(Attempt(OSError("cert broken")))
    assert lines(caplog) == [
        "the queue: attempt 1 failed, transient OSError: x (giving up, elapsed 0ms)",
        "the queue: attempt 1 failed, permanent BadCert: the certificate is wrong (elapsed 0ms)",
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


async def test_an_error_without_words_is_logged_by_name(
    connector: MakeConnector, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception without a text still says what it is."""
    await connector().call(Attempt(OSError(), None))
    assert "transient OSError: OSError()" in lines(caplog)[0]


async def test_a_long_outage_is_logged_once_a_minute(
    clock: Clock, connector: MakeConnector, caplog: pytest.LogCaptureFixture
) -> None:
    """The first 20 attempts each get a warning, later ones one a minute, the rest at debug."""
    caplog.set_level(logging.DEBUG)
    short = Backoff("exponential", exponential, Timing(1, 1), NoOptions(), "none")
    await connector(RetryOptions(short)).call(Attempt(*[OSError("down")] * 320, None))
    warned = [line.split()[3] for line in lines(caplog, logging.WARNING)]
    assert warned == [*map(str, range(1, 21)), "80", "140", "200", "260", "320"]
    assert len(caplog.records) == 321


async def test_giving_up_is_never_throttled(
    connector: MakeConnector, caplog: pytest.LogCaptureFixture
) -> None:
    """The line that says the end is a warning, however many came before."""
    short = Backoff("exponential", exponential, Timing(1, 1), NoOptions(), "none")
    with pytest.raises(GaveUp):
        await connector(RetryOptions(short, max_attempts=50)).call(Attempt(OSError("down")))
    assert "giving up" in lines(caplog, logging.WARNING)[-1]


async def test_lines_go_to_the_callers_log(
    connector: MakeConnector, caplog: pytest.LogCaptureFixture
) -> None:
    """A listener's connector logs with the listener's own log."""
    await connector(log=logging.getLogger("of.mine")).call(Attempt(OSError("x"), None))
    assert {record.name for record in caplog.records} == {"of.mine"}
