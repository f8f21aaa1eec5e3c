"""A pulled event source in memory, for tests of what the listener makes of one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporal_runner.plugin import (
    Accepted,
    Delivery,
    Event,
    EventSourceKind,
    Options,
    PullSource,
    SourceContext,
    hookimpl,
)


@dataclass
class Store:
    """What a test sees of its source.

    Attributes:
        waiting: Events that `receive` has not returned yet.
        settled: What became of each, in order: the event's id and how.
        accepted: What each acknowledgement said.
        failures: Raised by the next calls of `connect` and `receive`, None for none.
        connected: How often `connect` worked.
        closed: How often `close` was called.
        receiving: Whether a `receive` is under way.
        most_in_hand: The most events that were unsettled at a time.
    """

    waiting: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    settled: list[tuple[str, str]] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    connect_failures: list[Exception | None] = field(default_factory=list)
    receive_failures: list[Exception | None] = field(default_factory=list)
    settle_failures: list[Exception | None] = field(default_factory=list)
    connected: int = 0
    closed: int = 0
    receiving: bool = False
    in_hand: int = 0
    most_in_hand: int = 0

    def put(self, *ids: str, key: str | None = None, **data: Any) -> None:
        """Add events."""
        for one in ids:
            event = Event(id=one, source="memory", type="put", subject=key, data=data)
            self.waiting.put_nowait(event)

    def how(self, event_id: str) -> list[str]:
        """How an event was settled: one entry, if all is well."""
        return [how for one, how in self.settled if one == event_id]


stores: dict[str, Store] = {}


class MemoryOptions(Options):
    """Which store."""

    store: str


class MemoryDelivery(Delivery):
    """Notes how it is settled."""

    def __init__(self, event: Event, store: Store) -> None:
        super().__init__(event)
        self.ordering_key = event.subject
        self._store = store

    async def ack(self, accepted: Accepted) -> None:
        self._store.accepted.append(accepted)
        self._settle("ack")

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        self._settle("nack")

    async def reject(self, reason: str) -> None:
        self._settle(f"reject: {reason}")

    def _settle(self, how: str) -> None:
        self._store.in_hand -= 1
        self._store.settled.append((self.event.id, how))
        if self._store.settle_failures and (error := self._store.settle_failures.pop(0)):
            raise error


class MemorySource(PullSource):
    """Gives what the store has, one batch at a time."""

    def __init__(self, options: MemoryOptions, context: SourceContext) -> None:
        self._store = stores[options.store]

    async def connect(self) -> None:
        if self._store.connect_failures and (error := self._store.connect_failures.pop(0)):
            raise error
        self._store.connected += 1

    async def receive(self) -> Sequence[Delivery]:
        store = self._store
        if store.receive_failures and (error := store.receive_failures.pop(0)):
            raise error
        store.receiving = True
        try:
            events = [await store.waiting.get()]
        finally:
            store.receiving = False
        while not store.waiting.empty() and len(events) < 10:
            events.append(store.waiting.get_nowait())
        store.in_hand += len(events)
        store.most_in_hand = max(store.most_in_hand, store.in_hand)
        return [MemoryDelivery(event, store) for event in events]

    async def close(self) -> None:
        self._store.closed += 1


@hookimpl
def runner_event_sources() -> Iterable[EventSourceKind]:
    """The memory source."""
    yield EventSourceKind(
        "memory", "events in memory", MemoryOptions, "tests.real.memory:MemorySource"
    )
