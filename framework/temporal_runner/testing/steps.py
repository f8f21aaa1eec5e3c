"""The steps that the cases for event sources are made of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from temporal_runner.events.cloudevents import event_from_json
from temporal_runner.events.event import Accepted, Delivery, Event
from temporal_runner.events.strict_json import parse_json
from temporal_runner.testing.fakes import make_context
from temporal_runner.testing.receiving import Receiving
from temporal_runner.testing.service import Sent, SourceUnderTest

CORE_ATTRIBUTES = {
    *("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data")
}


async def put(
    test: SourceUnderTest, receiving: Receiving, name: str
) -> asyncio.Task[Sent | None] | None:
    """Let an event happen; the task is its sender, where one waits for an answer."""
    if not receiving.pushes:
        await test.put(name)
        return None
    return asyncio.create_task(test.put(name))  # its sender waits until it is settled


async def deliver(
    test: SourceUnderTest, receiving: Receiving, name: str
) -> tuple[asyncio.Task[Sent | None] | None, Delivery]:
    """Let an event happen, and take its delivery."""
    sender = await put(test, receiving, name)
    delivery = await receiving.next()
    found = test.name_of(delivery.event)
    assert found == name, f"put {name!r}, and name_of says that {found!r} arrived"
    return sender, delivery


async def deliver_and_ack(test: SourceUnderTest, receiving: Receiving, name: str) -> Delivery:
    """Let an event happen, and acknowledge it."""
    sender, delivery = await deliver(test, receiving, name)
    await receiving.ack(delivery)
    await learns(test, sender, "accepted")
    return delivery


async def acknowledge(test: SourceUnderTest, batch: Sequence[Delivery]) -> set[str | None]:
    """Acknowledge a batch, and name its events."""
    for delivery in batch:
        await delivery.ack(Accepted(action="start", workflow_id="conformance"))
    return {test.name_of(delivery.event) for delivery in batch}


async def learns(
    test: SourceUnderTest, sender: asyncio.Task[Sent | None] | None, expected: Sent
) -> None:
    """Assert what a sender learns."""
    if sender is None:
        return
    async with asyncio.timeout(test.patience):
        learned = await sender
    assert learned == expected, f"its sender learned {learned!r}, not {expected!r}"


async def kept_reason(test: SourceUnderTest, name: str) -> str:
    """The reason that is kept with a rejected event."""
    until = asyncio.get_running_loop().time() + test.patience
    while name not in (kept := await test.dead_letters()):
        now = asyncio.get_running_loop().time()
        assert now < until, f"not among the dead letters, which are {sorted(kept)}"
        await asyncio.sleep(test.quiet / 4)
    return kept[name]


async def error_without_service(test: SourceUnderTest) -> str:
    """What connect() says while the service is not there; empty where that cannot be had."""
    if not _is_written(test, "make_unreachable_source"):
        return ""
    source = test.make_unreachable_source(make_context())
    try:
        async with asyncio.timeout(test.patience):
            await source.connect()
    except Exception as error:
        return f"{error!r} {error}"
    finally:
        await source.close()
    return ""


def needs(test: SourceUnderTest, capability: str) -> None:
    """Skip the case for a source that does not declare this."""
    if not getattr(test, capability):
        pytest.skip(f"it does not declare {capability}")


def writes(test: SourceUnderTest, hook: str) -> None:
    """Skip the case for a source that has no such hook."""
    if not _is_written(test, hook):
        pytest.skip(f"it does not write {hook}")


def _is_written(test: SourceUnderTest, hook: str) -> bool:
    return getattr(type(test), hook) is not getattr(SourceUnderTest, hook)


def check_event(event: Event) -> None:
    """Assert that an event is a sound CloudEvents event, which routes and Temporal can take.

    Raises:
        AssertionError: It is not; the message says why.
    """
    for name in ("id", "source", "type"):
        value = getattr(event, name)
        assert isinstance(value, str), f"the event's {name} has to be a text, not {value!r}"
        assert value, f"the event's {name} is empty"
    if event.time is not None:
        assert event.time.tzinfo is not None, f"the event's time has no time zone: {event.time}"
    shadowed = sorted(CORE_ATTRIBUTES & event.extensions.keys())
    assert not shadowed, f"extensions are called like CloudEvents' own attributes: {shadowed}"
    try:
        saved = json.dumps(event.to_dict(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(
            f"the event is not JSON, so no workflow can take it: {error}"
        ) from None
    try:
        event_from_json(parse_json(saved))
    except ValueError as error:
        raise AssertionError(f"the event, once saved, is no CloudEvent: {error}") from None


def identity(delivery: Delivery) -> tuple[str, str]:
    """What makes two events the same event."""
    return delivery.event.source, delivery.event.id


def check_same(first: Delivery, again: Delivery) -> None:
    """Assert that a redelivery is the same event.

    Raises:
        AssertionError: It is not.
    """
    assert identity(first) == identity(again), (
        f"redelivered, the event {identity(first)} is {identity(again)}:"
        " it would start a second workflow"
    )
