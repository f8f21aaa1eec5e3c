"""Stand-ins for a plugin author's tests: a source in memory, a recording `deliver`, a context."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Literal

from temporal_runner.events.event import Accepted, Delivery, Event
from temporal_runner.plugin.sources import PullSource, SourceContext


def make_context(listener: str = "test", *, max_in_flight: int = 100) -> SourceContext:
    """A context as the runner makes one, for a listener of that name."""
    log = logging.LoggerAdapter(
        logging.getLogger("temporal_runner.testing"), {"listener": listener}
    )
    return SourceContext(listener, max_in_flight, log)


class RecordingDeliver:
    """A `deliver` for a push source: settles each delivery in one way, and keeps it.

    Attributes:
        deliveries: What was delivered, in order.
    """

    def __init__(
        self, settle: Literal["ack", "nack", "reject"] = "ack", *, accepted: Accepted | None = None
    ) -> None:
        """Make one.

        Args:
            settle: How each delivery is settled.
            accepted: What `ack` is told; by default that a workflow was started.
        """
        self.deliveries: list[Delivery] = []
        self._settle = settle
        self._accepted = accepted or Accepted(action="start", workflow_id="recorded", run_id="run")

    @property
    def events(self) -> list[Event]:
        """The events delivered, in order."""
        return [delivery.event for delivery in self.deliveries]

    async def __call__(self, delivery: Delivery) -> None:
        """Settle one delivery."""
        self.deliveries.append(delivery)
        match self._settle:
            case "ack":
                await delivery.ack(self._accepted)
            case "nack":
                await delivery.nack("not now", retry_after=7)
            case "reject":
                await delivery.reject("it can never succeed")


class MemoryQueue:
    """An outside service in memory: it outlives the sources that are connected to it.

    Attributes:
        acknowledged: The events that were acknowledged, in order.
        dead_letters: The events that were rejected, each with the reason.
    """

    def __init__(self) -> None:
        self.acknowledged: list[Event] = []
        self.dead_letters: list[tuple[Event, str]] = []
        self.waiting: deque[Event] = deque()
        self.changed = asyncio.Event()

    def put(self, event: Event) -> None:
        """Let an event happen."""
        self.waiting.append(event)
        self.changed.set()

    def put_back(self, event: Event) -> None:
        """Let it come again, before all others."""
        self.waiting.appendleft(event)
        self.changed.set()


class MemorySource(PullSource):
    """Receives from a `MemoryQueue`, in order, and again what was not settled.

    Attributes:
        queue: The service.
        unsettled: What was delivered and is not settled yet.
    """

    def __init__(self, queue: MemoryQueue) -> None:
        self.queue = queue
        self.unsettled: list[Event] = []

    async def receive(self) -> Sequence[Delivery]:
        """All that waits, one delivery each."""
        while not self.queue.waiting:
            self.queue.changed.clear()
            await self.queue.changed.wait()
        events = list(self.queue.waiting)
        self.queue.waiting.clear()
        self.unsettled += events
        return [self.delivery(event) for event in events]

    def delivery(self, event: Event) -> Delivery:
        """What is handed over of an event."""
        return MemoryDelivery(event, self)

    async def close(self) -> None:
        """Let what was not settled come again."""
        while self.unsettled:
            self.queue.put_back(self.unsettled.pop())

    def describe(self) -> str:
        """Where it receives from."""
        return "a queue in memory"


class MemoryDelivery(Delivery):
    """One event of a `MemoryQueue`.

    Attributes:
        source: The source that delivered it.
    """

    ordering_key: str | None = "memory"

    def __init__(self, event: Event, source: MemorySource) -> None:
        super().__init__(event)
        self.source = source

    async def ack(self, accepted: Accepted) -> None:
        """Be done with it."""
        self._settled()
        self.source.queue.acknowledged.append(self.event)

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """Let it come again, at once."""
        self._settled()
        self.source.queue.put_back(self.event)

    async def reject(self, reason: str) -> None:
        """Keep it among the dead letters."""
        self._settled()
        self.source.queue.dead_letters.append((self.event, reason))

    def _settled(self) -> None:
        if self.event in self.source.unsettled:  # else it was closed meanwhile, and comes again
            self.source.unsettled.remove(self.event)
