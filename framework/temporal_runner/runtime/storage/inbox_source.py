"""An inbox as a source: what is dispatched is removed, what fails comes again.

Seen from Temporal's side an inbox is a source that is pulled, like a queue: so what is true of
those (order within a key, holding while Temporal is away, the drain) is true of it too.
"""

from __future__ import annotations

from collections.abc import Sequence

from temporal_runner.events.event import Accepted, Delivery
from temporal_runner.plugin.sources import PullSource
from temporal_runner.runtime.storage.inbox import Inbox
from temporal_runner.runtime.storage.inbox_rows import Entry


class InboxSource(PullSource):
    """The inbox as a source: what is dispatched is removed."""

    def __init__(self, inbox: Inbox, batch: int) -> None:
        self._inbox = inbox
        self._batch = batch

    async def receive(self) -> Sequence[Delivery]:
        """The next events in the order of their arrival."""
        entries = await self._inbox.take(self._batch)
        return [InboxDelivery(self._inbox, entry) for entry in entries]

    def describe(self) -> str:
        """Its file."""
        return f"inbox {self._inbox.file}"


class InboxDelivery(Delivery):
    """An event of the inbox."""

    def __init__(self, inbox: Inbox, entry: Entry) -> None:
        super().__init__(entry.event)
        self.ordering_key = entry.ordering_key
        self.unreadable = entry.unreadable
        self._inbox = inbox
        self._entry = entry

    async def ack(self, accepted: Accepted) -> None:
        """Temporal has it."""
        await self._inbox.remove(self._entry)

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """It stays, and is given out again by itself."""
        self._inbox.again(self._entry, retry_after or 0.0)

    async def reject(self, reason: str) -> None:
        """The dead letters have it."""
        await self._inbox.remove(self._entry)
