"""The conformance kits: sound sources and strategies pass, and each case catches a broken one."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from temporalio import activity

from temporal_runner.config.problems import ConfigError
from temporal_runner.plugin import (
    Accepted,
    BackoffKind,
    Deliver,
    Delivery,
    Event,
    EventSource,
    NoOptions,
    PermanentError,
    PushSource,
    SourceContext,
    Timing,
    TransientError,
    WaitGenerator,
)
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.retry.backoff import BUILT_IN
from temporal_runner.retry.connector import Connector
from temporal_runner.testing import (
    BackoffConformance,
    EventSourceConformance,
    MemoryDelivery,
    MemoryQueue,
    MemorySource,
    RecordingDeliver,
    Sent,
    make_context,
)

SECRET = "s3cr3t"

# Sound sources. ----------------------------------------------------------------------------------


class MemoryService(EventSourceConformance):
    """The source in memory with all that a source can declare."""

    redelivers = True
    ordered = True
    keeps_rejected = True
    patience = 1.0
    quiet = 0.04
    secrets = (SECRET,)
    Source: type[MemorySource] = MemorySource

    def __init__(self) -> None:
        self.queue = MemoryQueue()
        self.numbers: Iterator[int] = itertools.count(1)

    def make_source(self, context: SourceContext) -> EventSource:
        return self.Source(self.queue)

    async def put(self, name: str) -> Sent | None:
        number = next(self.numbers)
        event = Event(id=f"id-{number}", source="/memory", type="put", subject=name, data={"n": 1})
        self.queue.put(event)
        return None

    async def dead_letters(self) -> Mapping[str, str]:
        return {str(event.subject): reason for event, reason in self.queue.dead_letters}

    async def put_malformed(self) -> Sent | None:
        return None  # nothing that is put into this service is malformed

    def make_unreachable_source(self, context: SourceContext) -> EventSource:
        return Unreachable(self.queue)


class Unreachable(MemorySource):
    async def connect(self) -> None:
        raise TransientError("nobody is there")


class TestMemorySource(MemoryService):
    """The kit's own source passes every case of the kit."""

    __init__ = object.__init__  # pytest makes no objects of classes with one of their own

    @pytest.fixture(autouse=True)
    def _service(self) -> None:
        MemoryService.__init__(self)


class Doorbell(PushSource):
    """Pushed to in memory: whoever rings waits for the answer."""

    def __init__(self) -> None:
        self.rung: asyncio.Queue[DoorbellDelivery] = asyncio.Queue()
        self.under_way: set[asyncio.Task[None]] = set()

    async def serve(self, deliver: Deliver) -> None:
        try:
            while True:
                ring = asyncio.create_task(self.answer(await self.rung.get(), deliver))
                self.under_way.add(ring)
        finally:
            await asyncio.gather(*self.under_way)

    async def answer(self, delivery: DoorbellDelivery, deliver: Deliver) -> None:
        await deliver(delivery)
        delivery.answered.set()


class DoorbellDelivery(Delivery):
    answer: Sent = "again"

    def __init__(self, event: Event) -> None:
        super().__init__(event)
        self.answered = asyncio.Event()

    async def ack(self, accepted: Accepted) -> None:
        self.answer = "accepted"

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        self.answer = "again"

    async def reject(self, reason: str) -> None:
        self.answer = "refused"


class DoorbellService(EventSourceConformance):
    """A source that is pushed to."""

    patience = 1.0
    quiet = 0.04
    Source: type[Doorbell] = Doorbell
    Rung: type[DoorbellDelivery] = DoorbellDelivery

    def __init__(self) -> None:
        self.numbers: Iterator[int] = itertools.count(1)
        self.current: Doorbell

    def make_source(self, context: SourceContext) -> EventSource:
        self.current = self.Source()
        return self.current

    async def put(self, name: str) -> Sent | None:
        event = Event(id=f"id-{next(self.numbers)}", source="/door", type="ring", subject=name)
        delivery = self.Rung(event)
        self.current.rung.put_nowait(delivery)
        await delivery.answered.wait()
        return delivery.answer

    async def put_malformed(self) -> Sent | None:
        return "refused"


class TestDoorbell(DoorbellService):
    """A sound push source passes the cases that are for push sources."""

    __init__ = object.__init__

    @pytest.fixture(autouse=True)
    def _service(self) -> None:
        DoorbellService.__init__(self)


# Broken sources, each with the case that has to catch it. ----------------------------------------

BROKEN: list[tuple[type[EventSourceConformance], str, str]] = []


def caught_by(case: str, saying: str) -> Any:
    """Declare which case catches a broken source, and what it says."""

    def declare(broken: type[EventSourceConformance]) -> type[EventSourceConformance]:
        BROKEN.append((broken, f"test_{case}", saying))
        return broken

    return declare


def delivering(kind: type[MemoryDelivery]) -> type[MemorySource]:
    """A source whose deliveries are of that kind."""

    class Source(MemorySource):
        def delivery(self, event: Event) -> Delivery:
            return kind(event, self)

    return Source


def saying(**changes: Any) -> type[MemorySource]:
    """A source whose events are changed like this."""

    class Source(MemorySource):
        def delivery(self, event: Event) -> Delivery:
            return MemoryDelivery(replace(event, **changes), self)

    return Source


@caught_by("it_is_pulled_or_pushed", "has to be a PullSource or a PushSource")
class Neither(MemoryService):
    def make_source(self, context: SourceContext) -> EventSource:
        return EventSource()


@caught_by("close_is_always_allowed", "AttributeError")
class ClosesOnlyOnce(MemoryService):
    class Source(MemorySource):
        async def connect(self) -> None:
            self.socket: list[int] = []

        async def close(self) -> None:
            del self.socket


@caught_by("an_event_arrives_whole", "the event's id is empty")
class WithoutId(MemoryService):
    Source = saying(id="")


@caught_by("an_event_arrives_whole", "the event's type has to be a text, not 7")
class TypeIsANumber(MemoryService):
    Source = saying(type=7)


@caught_by("an_event_arrives_whole", "no time zone")
class NaiveTime(MemoryService):
    Source = saying(time=datetime(2026, 1, 1))


@caught_by("an_event_arrives_whole", "the event is not JSON")
class NotJson(MemoryService):
    Source = saying(data={"at": object()})


@caught_by("an_event_arrives_whole", "called like CloudEvents' own attributes: ['type']")
class ShadowsTheType(MemoryService):
    Source = saying(extensions={"type": "mine"})


@caught_by("an_event_arrives_whole", "'Tenant' is no attribute's name")
class NamesNoAttribute(MemoryService):
    Source = saying(extensions={"Tenant": "red"})


@caught_by("an_event_arrives_whole", "no event arrived within")
class Deaf(MemoryService):
    class Source(MemorySource):
        async def receive(self) -> Sequence[Delivery]:
            return []


@caught_by("an_event_arrives_whole", "the source failed: OSError('gone')")
class Fails(MemoryService):
    class Source(MemorySource):
        async def receive(self) -> Sequence[Delivery]:
            raise OSError("gone")


@caught_by("an_event_arrives_whole", "name_of says that 'other' arrived")
class TakesAnotherName(MemoryService):
    Source = saying(subject="other")


@caught_by("two_events_are_two", "two events have one identity")
class OneIdForAll(MemoryService):
    Source = saying(id="always")


@caught_by("an_acknowledged_event_does_not_come_again", "should not have")
class ForgetsTheAck(MemoryService):
    @delivering
    class Source(MemoryDelivery):
        async def ack(self, accepted: Accepted) -> None: ...


@caught_by("an_acknowledged_event_does_not_come_again", "should not have")
class TakesAckForNack(MemoryService):
    @delivering
    class Source(MemoryDelivery):
        async def ack(self, accepted: Accepted) -> None:
            await self.nack("")


@caught_by("a_nacked_event_comes_again", "no event arrived within")
class LosesTheNacked(MemoryService):
    @delivering
    class Source(MemoryDelivery):
        async def nack(self, reason: str, *, retry_after: float | None = None) -> None: ...


class NewIds(MemorySource):
    numbers = itertools.count()

    def delivery(self, event: Event) -> Delivery:
        given = MemoryDelivery(event, self)
        given.event = replace(event, id=f"{next(self.numbers)}")
        return given


@caught_by("a_nacked_event_comes_again", "it would start a second workflow")
class NewIdEachTime(MemoryService):
    Source = NewIds


@caught_by("an_unsettled_event_comes_again", "no event arrived within")
class LosesTheUnsettled(MemoryService):
    class Source(MemorySource):
        async def close(self) -> None: ...


@caught_by("an_unsettled_event_comes_again", "it would start a second workflow")
class NewIdEachConnection(MemoryService):
    Source = NewIds


@caught_by("a_rejected_event_is_kept", "not among the dead letters")
class DropsTheRejected(MemoryService):
    @delivering
    class Source(MemoryDelivery):
        async def reject(self, reason: str) -> None:
            await self.ack(Accepted())


@caught_by("a_rejected_event_is_kept", "the reason is not kept")
class KeepsNoReason(MemoryService):
    @delivering
    class Source(MemoryDelivery):
        async def reject(self, reason: str) -> None:
            await super().reject("something")


@caught_by("a_rejected_event_is_kept", "should not have")
class DeliversTheRejectedAgain(MemoryService):
    @delivering
    class Source(MemoryDelivery):
        async def reject(self, reason: str) -> None:
            await super().reject(reason)
            self.source.queue.put_back(self.event)


@caught_by("events_are_settled_in_any_order", "no event arrived within")
class LosesOneOfABatch(MemoryService):
    class Source(MemorySource):
        async def receive(self) -> Sequence[Delivery]:
            return (await super().receive())[:2]


@caught_by("events_are_settled_in_any_order", "should not have")
class SettlesTheFirstOnly(MemoryService):
    ordered = False

    @delivering
    class Source(MemoryDelivery):
        async def ack(self, accepted: Accepted) -> None:
            if self.event.subject == "two":
                await self.nack("")


@caught_by("events_come_in_order", "delivered in the order")
class LastInFirstOut(MemoryService):
    class Source(MemorySource):
        async def receive(self) -> Sequence[Delivery]:
            return list(reversed(await super().receive()))


@caught_by("events_come_in_order", "without an ordering_key")
class WithoutKey(MemoryService):
    @delivering
    class Source(MemoryDelivery):
        ordering_key = None


@caught_by("events_come_in_order", "several ordering keys")
class AKeyEach(MemoryService):
    @delivering
    class Source(MemoryDelivery):
        @property
        def ordering_key(self) -> str:  # type: ignore[override]
            return self.event.id


@caught_by("a_cancelled_receive_loses_nothing", "lost while receive() was cancelled")
class LosesWhenCancelled(MemoryService):
    class Source(MemorySource):
        async def receive(self) -> Sequence[Delivery]:
            batch = await super().receive()
            await asyncio.sleep(0.01)
            return batch


@caught_by("a_cancelled_receive_loses_nothing", "cancelled, receive() raised OSError")
class FailsWhenCancelled(MemoryService):
    class Source(MemorySource):
        async def receive(self) -> Sequence[Delivery]:
            try:
                return await super().receive()
            except asyncio.CancelledError:
                raise OSError("interrupted") from None


@caught_by("what_is_malformed_stops_nothing", "the source failed: ValueError")
class ChokesOnTheMalformed(MemoryService):
    async def put_malformed(self) -> Sent | None:
        await self.put("malformed")
        return None

    class Source(MemorySource):
        def delivery(self, event: Event) -> Delivery:
            if event.subject == "malformed":
                raise ValueError("cannot read that")
            return super().delivery(event)


@caught_by("what_is_malformed_stops_nothing", "name_of says that 'malformed' arrived")
class DeliversTheMalformed(MemoryService):
    async def put_malformed(self) -> Sent | None:
        await self.put("malformed")
        return None


@caught_by("an_unreachable_service_is_transient", "what may come back is not permanent")
class GivesUpForGood(MemoryService):
    def make_unreachable_source(self, context: SourceContext) -> EventSource:
        class Source(MemorySource):
            async def connect(self) -> None:
                raise PermanentError("nobody is there")

        return Source(self.queue)


@caught_by("an_unreachable_service_is_transient", "connect() succeeded")
class DoesNotLook(MemoryService):
    def make_unreachable_source(self, context: SourceContext) -> EventSource:
        return MemorySource(self.queue)


@caught_by("an_unreachable_service_is_transient", "connect() took longer than 0.1s")
class Hangs(MemoryService):
    patience = 0.1

    def make_unreachable_source(self, context: SourceContext) -> EventSource:
        class Source(MemorySource):
            async def connect(self) -> None:
                await asyncio.Event().wait()

        return Source(self.queue)


@caught_by("it_ends_what_it_started", "still running after close()")
class LeavesATask(MemoryService):
    patience = 0.2

    class Source(MemorySource):
        async def connect(self) -> None:
            self.task = asyncio.create_task(asyncio.sleep(2), name="left")


@caught_by("it_shows_no_secret", "the secret 's3cr3t' is shown")
class DescribesTheSecret(MemoryService):
    class Source(MemorySource):
        def describe(self) -> str:
            return f"memory://user:{SECRET}@here"


@caught_by("it_shows_no_secret", "the secret 's3cr3t' is shown")
class LogsTheSecret(MemoryService):
    class Source(MemorySource):
        async def connect(self) -> None:
            logging.getLogger("vendor").debug("login %s", SECRET)


@caught_by("it_shows_no_secret", "the secret 's3cr3t' is shown")
class ErrsWithTheSecret(MemoryService):
    def make_unreachable_source(self, context: SourceContext) -> EventSource:
        class Source(MemorySource):
            async def connect(self) -> None:
                raise OSError(f"user:{SECRET}@here: refused")

        return Source(self.queue)


@caught_by("an_event_arrives_whole", "its sender learned 'again', not 'accepted'")
class ForgetsTheAnswer(DoorbellService):
    class Rung(DoorbellDelivery):
        async def ack(self, accepted: Accepted) -> None: ...


@caught_by("a_nacked_event_comes_again", "its sender learned 'accepted', not 'again'")
class AcceptsTheNacked(DoorbellService):
    class Rung(DoorbellDelivery):
        async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
            self.answer = "accepted"


@caught_by("a_rejected_event_is_kept", "its sender learned 'again', not 'refused'")
class RetriesTheRejected(DoorbellService):
    class Rung(DoorbellDelivery):
        async def reject(self, reason: str) -> None: ...


@caught_by("what_is_malformed_stops_nothing", "its sender learned 'accepted', not 'refused'")
class AcceptsTheMalformed(DoorbellService):
    async def put_malformed(self) -> Sent | None:
        return "accepted"


@caught_by("stopping_finishes_what_is_in_flight", "its sender learned 'again', not 'accepted'")
class DropsWhatIsInFlight(DoorbellService):
    class Source(Doorbell):
        async def serve(self, deliver: Deliver) -> None:
            while True:
                delivery = await self.rung.get()
                try:
                    await deliver(delivery)
                finally:
                    delivery.answered.set()


@caught_by("stopping_finishes_what_is_in_flight", "it did not end within")
class DoesNotStop(DoorbellService):
    patience = 0.2

    class Source(Doorbell):
        async def serve(self, deliver: Deliver) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await super().serve(deliver)
            await asyncio.sleep(1)


@pytest.mark.parametrize(
    ("broken", "case", "said"), BROKEN, ids=[broken.__name__ for broken, *_ in BROKEN]
)
async def test_each_case_catches_a_broken_source(
    broken: type[EventSourceConformance],
    case: str,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A source that breaks a promise fails the case for it, which says what is wrong."""
    test = getattr(broken(), case)
    arguments = {"caplog": caplog} if "caplog" in inspect.signature(test).parameters else {}
    with pytest.raises((AssertionError, AttributeError)) as raised:
        await test(**arguments)
    assert said in f"{raised.type.__name__}: {raised.value}"


def test_every_case_has_a_broken_source() -> None:
    """No case of the kit is there for show."""
    cases = {name for name in vars(EventSourceConformance) if name.startswith("test_")}
    assert {case for _, case, _ in BROKEN} == cases


async def test_what_is_not_declared_is_skipped() -> None:
    """A source is held to what it declares: the other cases are skipped, with the reason."""

    class Bare(MemoryService):
        redelivers = ordered = keeps_rejected = False
        put_malformed = EventSourceConformance.put_malformed
        make_unreachable_source = EventSourceConformance.make_unreachable_source

    for case, reason in {
        "a_nacked_event_comes_again": "it does not declare redelivers",
        "an_unsettled_event_comes_again": "it does not declare redelivers",
        "a_rejected_event_is_kept": "it does not declare keeps_rejected",
        "events_come_in_order": "it does not declare ordered",
        "what_is_malformed_stops_nothing": "it does not write put_malformed",
        "an_unreachable_service_is_transient": "it does not write make_unreachable_source",
        "stopping_finishes_what_is_in_flight": "it is pulled",
    }.items():
        with pytest.raises(pytest.skip.Exception, match=reason):
            await getattr(Bare(), f"test_{case}")()


# Strategies. -------------------------------------------------------------------------------------


class TestExponential(BackoffConformance):
    kind = BUILT_IN[0]


class TestFibonacci(BackoffConformance):
    kind = BUILT_IN[1]


class TestConstant(BackoffConformance):
    kind = BUILT_IN[2]


class TestDecorrelated(BackoffConformance):
    kind = BUILT_IN[3]
    random = True


def test_every_built_in_strategy_is_above() -> None:
    """A new built-in strategy has to pass the kit too."""
    tested = {TestExponential, TestFibonacci, TestConstant, TestDecorrelated}
    assert {test.kind for test in tested} == set(BUILT_IN)


def conformance(build: Any, **changes: Any) -> BackoffConformance:
    """The kit for a strategy that is broken in one way."""
    test = BackoffConformance()
    test.kind = replace(BackoffKind("odd", "an odd one", build), **changes)
    return test


def always(*values: Any) -> Any:
    """A strategy that yields these, and the last one for ever."""

    def build(timing: Timing, options: NoOptions) -> WaitGenerator:
        yield 0.0
        rest = itertools.chain(values, itertools.repeat(values[-1]))
        while True:
            yield next(rest)

    return build


def ends(timing: Timing, options: NoOptions) -> WaitGenerator:
    for _ in range(500):
        yield 1.0


def overflows(timing: Timing, options: NoOptions) -> WaitGenerator:
    for attempt in itertools.count():
        yield timing.base_delay * 2**attempt


def sleeps(timing: Timing, options: NoOptions) -> WaitGenerator:
    import time

    yield 0.0
    while True:
        time.sleep(0.01)
        yield 1.0


_shared = itertools.count()


def shares(timing: Timing, options: NoOptions) -> WaitGenerator:
    yield 0.0
    for number in _shared:
        yield float(number % 30)


def trusts_the_error(timing: Timing, options: NoOptions) -> WaitGenerator:
    error = yield 0.0
    while True:
        error = yield error.args[0]


USUAL = Timing(0.5, 30)
EACH_TIMING = {"timing": USUAL}


@pytest.mark.parametrize(
    ("test", "case", "arguments", "said"),
    [
        (conformance(always(1), name=""), "its_declaration_is_sound", {}, "no name"),
        (conformance(always(1), name="a b"), "its_declaration_is_sound", {}, "has blanks"),
        (conformance(always(1), summary=""), "its_declaration_is_sound", {}, "summary is empty"),
        (conformance(always(1), summary="a\nb"), "its_declaration_is_sound", {}, "one line"),
        (conformance(always(1), jitter="half"), "its_declaration_is_sound", {}, "no jitter"),
        (conformance("no.such:thing"), "its_declaration_is_sound", {}, "does not import"),
        (conformance(always("1")), "it_yields_lengths_of_time", EACH_TIMING, "is no number: '1'"),
        (conformance(always(1, None)), "it_yields_lengths_of_time", EACH_TIMING, "delay 2 is no"),
        (conformance(always(True)), "it_yields_lengths_of_time", EACH_TIMING, "is no number"),
        (conformance(always(float("nan"))), "it_yields_lengths_of_time", EACH_TIMING, "is nan"),
        (conformance(always(-1)), "it_yields_lengths_of_time", EACH_TIMING, "is negative"),
        (conformance(ends), "it_never_ends", EACH_TIMING, "attempt 500 got no delay"),
        (conformance(overflows), "it_never_ends", EACH_TIMING, "got no delay"),
        (conformance(always(0)), "it_lets_a_server_breathe", {}, "100 delays of 0"),
        (conformance(sleeps), "it_waits_for_nothing_itself", {}, "to say"),
        (conformance(shares), "each_sequence_begins_anew", {}, "sequence"),
        (conformance(trusts_the_error), "it_takes_any_error", {"error": OSError()}, "IndexError"),
        (
            conformance(always("soon")),
            "delays_stay_within_bounds",
            {"timing": USUAL, "jitter": "none"},
            "did not yield a number",
        ),
    ],
)
def test_each_case_catches_a_broken_strategy(
    test: BackoffConformance, case: str, arguments: dict[str, Any], said: str
) -> None:
    """A strategy that breaks a promise fails the case for it, which says what is wrong."""
    with pytest.raises(Exception, match=said):
        getattr(test, f"test_{case}")(**arguments)


# Fakes and fixtures. -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settle", "answer"), [("ack", "accepted"), ("nack", "again"), ("reject", "refused")]
)
async def test_a_recording_deliver_settles_and_keeps(settle: Any, answer: Sent) -> None:
    """RecordingDeliver stands in for the runner: settles each delivery as told, and keeps it."""
    deliver = RecordingDeliver(settle)
    delivery = DoorbellDelivery(Event(id="1", source="/door", type="ring"))
    await deliver(delivery)
    assert delivery.answer == answer
    assert deliver.deliveries == [delivery]
    assert deliver.events == [delivery.event]


def test_a_context_is_as_the_runner_makes_it() -> None:
    """make_context has what a SourceContext has, its log included."""
    context = make_context("uploads", max_in_flight=7)
    assert (context.listener, context.max_in_flight) == ("uploads", 7)
    context.log.debug("it logs")


async def test_fixtures_come_by_the_pytest_plugin(
    source_context: SourceContext,
    recording_deliver: RecordingDeliver,
    plugin_catalog: Catalog,
    check_config: Callable[[str], None],
    no_backoff: None,
) -> None:
    """Where temporal-runner is installed, pytest has its fixtures without being told."""
    assert source_context.listener == "test"
    assert recording_deliver.events == []
    assert "exponential" in plugin_catalog.strategies.kinds
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await Connector("it", sleep=sleep).back_off_after(OSError("down"))
    assert slept == [0]
    with pytest.raises(ConfigError, match="there is nothing to run"):
        check_config("log: {level: info}")
    check_config("workers: {w: {task_queue: q, activities: [tests.kit.test_kit:noted]}}")


@activity.defn
def noted() -> None:
    """An activity for the config above."""


def test_the_pytest_plugin_is_light() -> None:
    """It is loaded with every pytest run, so it loads no SDK, no pydantic and no YAML by itself."""
    code = "import sys, temporal_runner.testing.pytest_plugin; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    loaded = set(done.stdout.split())
    assert "pytest" in loaded
    assert not loaded & {"temporalio", "pydantic", "yaml", "backoff"}
