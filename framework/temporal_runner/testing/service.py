"""What a conformance test knows of a source: its capabilities and hooks, and how to use them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Literal

import pytest

from temporal_runner.events import Accepted, Delivery, Event
from temporal_runner.sources import EventSource, SourceContext
from temporal_runner.testing.fakes import make_context
from temporal_runner.testing.receiving import Receiving

Sent = Literal["accepted", "again", "refused"]
"""What the sender of a pushed event learns: done; send it again later; it can never succeed."""

CORE_ATTRIBUTES = {
    *("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data")
}


class SourceUnderTest:
    """A source and its service, as far as the conformance tests have to know them.

    Attributes:
        redelivers: An event that is not acknowledged comes again by itself.
        ordered: Events come in the order in which they were put, under one `ordering_key`.
        keeps_rejected: A rejected event is kept with the reason: write `dead_letters`.
        patience: Seconds to wait for what has to come: longer than a redelivery takes.
        quiet: Seconds to watch that something does not come.
        secrets: Texts of your options that nothing may show.
    """

    redelivers: bool = True
    ordered: bool = False
    keeps_rejected: bool = False
    patience: float = 10.0
    quiet: float = 0.2
    secrets: tuple[str, ...] = ()

    # What a subclass provides.

    def make_source(self, context: SourceContext) -> EventSource:
        """A new source, not connected, of the one service that `put` puts events into."""
        raise NotImplementedError

    async def put(self, name: str) -> Sent | None:
        """Let an event of that name happen.

        For a pull source: return once the service has it. For a push source: send it, and return
        what the sender learns.
        """
        raise NotImplementedError

    def name_of(self, event: Event) -> str | None:
        """The name that `put` gave an event; by default its subject."""
        return event.subject

    async def dead_letters(self) -> Mapping[str, str]:
        """The rejected events that are kept: their names, and where each name has its reason."""
        raise NotImplementedError

    async def put_malformed(self) -> Sent | None:
        """Send what no event can be made of."""
        raise NotImplementedError

    def make_unreachable_source(self, context: SourceContext) -> EventSource:
        """A source whose service is not there, such as one at a port where nobody listens."""
        raise NotImplementedError

    # Helpers for a subclass's own tests.

    def receiving(self) -> Receiving:
        """A new source at work: `async with self.receiving() as receiving: …`."""
        return Receiving(self.make_source(make_context()), patience=self.patience)

    async def _put(self, receiving: Receiving, name: str) -> asyncio.Task[Sent | None] | None:
        if not receiving.pushes:
            await self.put(name)
            return None
        return asyncio.create_task(self.put(name))  # its sender waits until it is settled

    async def _deliver(
        self, receiving: Receiving, name: str
    ) -> tuple[asyncio.Task[Sent | None] | None, Delivery]:
        sender = await self._put(receiving, name)
        delivery = await receiving.next()
        found = self.name_of(delivery.event)
        assert found == name, f"put {name!r}, and name_of says that {found!r} arrived"
        return sender, delivery

    async def _settled(self, receiving: Receiving, name: str) -> Delivery:
        sender, delivery = await self._deliver(receiving, name)
        await receiving.ack(delivery)
        await self._learns(sender, "accepted")
        return delivery

    async def _acknowledged(self, batch: Sequence[Delivery]) -> set[str | None]:
        for delivery in batch:
            await delivery.ack(Accepted(action="start", workflow_id="conformance"))
        return {self.name_of(delivery.event) for delivery in batch}

    async def _learns(self, sender: asyncio.Task[Sent | None] | None, expected: Sent) -> None:
        if sender is None:
            return
        async with asyncio.timeout(self.patience):
            learned = await sender
        assert learned == expected, f"its sender learned {learned!r}, not {expected!r}"

    async def _kept(self, name: str) -> str:
        until = asyncio.get_running_loop().time() + self.patience
        while name not in (kept := await self.dead_letters()):
            now = asyncio.get_running_loop().time()
            assert now < until, f"not among the dead letters, which are {sorted(kept)}"
            await asyncio.sleep(self.quiet / 4)
        return kept[name]

    def _needs(self, capability: str) -> None:
        if not getattr(self, capability):
            pytest.skip(f"it does not declare {capability}")

    def _writes(self, hook: str) -> None:
        if getattr(type(self), hook) is getattr(SourceUnderTest, hook):
            pytest.skip(f"it does not write {hook}")


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
        json.dumps(event.to_dict(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(
            f"the event is not JSON, so no workflow can take it: {error}"
        ) from None


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
