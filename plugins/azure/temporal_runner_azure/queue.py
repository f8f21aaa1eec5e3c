"""The queue source: polls a Storage Queue, and hands over the events of its messages.

    poll -> lease -> decode -> Delivery -> ack (delete) | nack (make visible) | reject (poison)

What can never succeed leaves here already: a message that cannot be read, or came too often.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from temporal_runner.plugin import Delivery, Event, PullSource, SourceContext
from temporal_runner_azure.client import MOST_MESSAGES, AzureClient
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.lease import Lease, QueueDelivery
from temporal_runner_azure.listing import ListSource
from temporal_runner_azure.messages import Undecodable, decode, is_created_file, read_event
from temporal_runner_azure.records import QueueMessage

_MOST_POLLS = 4
"""Receives that are under way at a time at most: each takes a round trip."""
_LAST_POLL = 3.0
"""Seconds that a poll may still take when the runner stops."""


def open_source(options: AzureOptions, context: SourceContext) -> PullSource:
    """The source of a listener's mode."""
    if options.mode == "list":
        return ListSource(options, context)
    return QueueSource(options, context)


class Pauses:
    """How long to wait before an empty queue is asked again: doubles, and a message ends it."""

    def __init__(self, shortest: float, longest: float) -> None:
        """Begin without a pause.

        Args:
            shortest: Seconds after the first empty answer.
            longest: Seconds at most.
        """
        self._shortest = shortest
        self._longest = longest
        self._next = 0.0

    @property
    def next(self) -> float:
        """Seconds to wait now, a little less at random so that runners do not poll in step."""
        return self._next * random.uniform(0.8, 1.0)

    def saw(self, messages: int) -> None:
        """Take in how many messages the last poll brought."""
        if messages:
            self._next = 0.0
        else:
            self._next = min(max(self._next * 2, self._shortest), self._longest)


class QueueSource(PullSource):
    """Receives from one queue."""

    def __init__(self, options: AzureOptions, context: SourceContext) -> None:
        self._options = options
        self._log = context.log
        self._most = context.max_in_flight
        self._client = AzureClient(options)
        self._visibility = options.visibility_timeout.total_seconds()
        self._pauses = Pauses(options.poll_min.total_seconds(), options.poll_max.total_seconds())
        self._leases: set[Lease] = set()
        self._fewer = asyncio.Event()
        self._polls = 1

    async def connect(self) -> None:
        """Open the queue."""
        await self._client.open()

    async def close(self) -> None:
        """Close the connection, and extend no message's time any more.

        After a failed poll some may be under way: settling them takes a connection of its own.
        """
        for lease in self._leases:
            lease.stop()
        await self._client.close()

    def describe(self) -> str:
        """The queue's name and the poison queue's."""
        options = self._options
        where = f"{options.account}/{options.queue}" if options.account else options.queue
        return f"Azure queue {where} (poison: {options.poison})"

    async def receive(self) -> Sequence[Delivery]:
        """Wait out the pause, and for room; then poll.

        Raises:
            TransientError: Azure cannot be reached, or refuses.
        """
        await asyncio.sleep(self._pauses.next)
        await self._room()
        # Cancelled in the middle of it, a poll would leave messages behind that nobody sees
        # until their time is up: it is finished, and they are given back at once.
        leases: list[Lease] = []
        poll = asyncio.create_task(self._poll(leases))
        try:
            return await asyncio.shield(poll)
        except asyncio.CancelledError:
            await asyncio.wait({poll}, timeout=_LAST_POLL)
            poll.cancel()
            await asyncio.gather(*(lease.release() for lease in leases), return_exceptions=True)
            raise

    async def _room(self) -> None:
        """Wait until a receive is worth its while: one for each message costs ten times as much."""
        while self._most - len(self._leases) < min(MOST_MESSAGES, max(1, self._most // 2)):
            self._fewer.clear()
            await self._fewer.wait()

    async def _poll(self, leases: list[Lease]) -> list[Delivery]:
        """One poll, by one receive or by several at the same time.

        Args:
            leases: Where it notes what it received.

        Raises:
            TransientError: None of them succeeded.
        """
        room = self._most - len(self._leases)
        polls = max(1, min(self._polls, room // MOST_MESSAGES))

        async def receive() -> int:
            messages = await self._client.receive(room // polls, self._visibility)
            leases.extend(self._lease(message) for message in messages)
            return len(messages)

        came = await asyncio.gather(*(receive() for _ in range(polls)), return_exceptions=True)
        failures = [one for one in came if isinstance(one, BaseException)]
        if len(failures) == polls:
            raise failures[0]
        self._pauses.saw(len(leases))
        full = len(leases) >= min(room, polls * MOST_MESSAGES)
        self._polls = min(self._polls + 1, _MOST_POLLS) if full else 1
        taken = await asyncio.gather(*(self._take(lease) for lease in leases))
        return [delivery for deliveries in taken for delivery in deliveries]

    def _lease(self, message: QueueMessage) -> Lease:
        lease = Lease(self._client, message, self._visibility, self._log, self._ended)
        self._leases.add(lease)
        return lease

    def _ended(self, lease: Lease) -> None:
        self._leases.discard(lease)
        self._fewer.set()

    async def _take(self, lease: Lease) -> list[Delivery]:
        """The events of a message, and what stands for those that cannot be read."""
        message = lease.message
        try:
            if message.deliveries > self._options.max_deliveries:
                # The last delivery may have ended the runner: it is not looked into again.
                raise Undecodable(f"it was delivered {message.deliveries} times")
            entries = decode(message.text, self._options.encoding)
        except Undecodable as error:
            lease.hold([message.text])
            return [_unreadable(lease, 0, message.text, str(error))]
        lease.hold(entries)
        deliveries: list[Delivery] = []
        for place, entry in enumerate(entries):
            try:
                event = read_event(entry)
            except Undecodable as error:
                deliveries.append(_unreadable(lease, place, entry, str(error)))
                continue
            if is_created_file(event) and not self._options.include_created_files:
                await lease.finish(place)
            else:
                deliveries.append(QueueDelivery(event, lease, place, entry))
        return deliveries


def _unreadable(lease: Lease, place: int, content: Any, reason: str) -> QueueDelivery:
    """What cannot be read goes to the poison queue when the runner rejects it."""
    event = Event(
        id=f"{lease.message.id}/{place}",
        source="urn:azure:queue-message",
        type="unreadable",
        data=content,
    )
    delivery = QueueDelivery(event, lease, place, content)
    delivery.unreadable = reason
    return delivery
