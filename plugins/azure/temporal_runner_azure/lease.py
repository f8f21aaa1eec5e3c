"""A queue message while it is ours: kept invisible, and settled once for all of its events.

Each update of a message makes a new pop receipt and voids the last one. So all that is done to a
message goes through its lease, one after the other.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from temporal_runner.plugin import Accepted, Delivery, Event
from temporal_runner_azure.client import AzureClient
from temporal_runner_azure.messages import encode
from temporal_runner_azure.records import MessageGone, MessageTooLarge, QueueMessage

_LONGEST_OWN_WAIT = 60.0
Log = logging.LoggerAdapter[logging.Logger]


class Lease:
    """One received message.

    Attributes:
        message: The message as it was received.
    """

    def __init__(
        self,
        client: AzureClient,
        message: QueueMessage,
        visibility: float,
        log: Log,
        ended: Callable[[Lease], None],
    ) -> None:
        """Begin to keep a message.

        Args:
            client: Its queue.
            message: What was received.
            visibility: Seconds that it was received for, and is extended to.
            log: Where to report.
            ended: Called when the message is settled.
        """
        self.message = message
        self._client = client
        self._receipt = message.receipt
        self._visibility = visibility
        self._log = log
        self._ended = ended
        self._turn = asyncio.Lock()
        self._entries: list[Any] = []
        self._open: set[int] = set()
        self._again: dict[int, float] = {}
        self._heart = asyncio.create_task(self._beat())

    def hold(self, entries: list[Any]) -> None:
        """Say which entries the message has; it is settled when each of them is."""
        self._entries = entries
        self._open = set(range(len(entries)))

    async def finish(self, entry: int) -> None:
        """An entry needs no further delivery."""
        self._open.discard(entry)
        await self._settle_if_last()

    async def again(self, entry: int, retry_after: float | None) -> None:
        """An entry is to be delivered again, in so many seconds."""
        self._open.discard(entry)
        if retry_after is None:
            retry_after = min(2.0 ** (self.message.deliveries - 1), _LONGEST_OWN_WAIT)
        self._again[entry] = retry_after
        await self._settle_if_last()

    async def reject(self, entry: int, content: Any, reason: str) -> None:
        """An entry can never succeed: it goes to the poison queue, then counts as finished."""
        try:
            await self._bury(content, reason)
        except Exception:
            await self.again(entry, None)
            raise
        await self.finish(entry)

    async def release(self) -> None:
        """Give the message back as it came, at once."""
        await self._end(lambda client: client.update(self.message.id, self._receipt, 0))

    def stop(self) -> None:
        """Extend the message's time no longer: it comes again when it is up, unless settled."""
        self._heart.cancel()

    async def _bury(self, content: Any, reason: str) -> None:
        message = self.message
        letter = {
            "reason": reason,
            "message_id": message.id,
            "deliveries": message.deliveries,
            "inserted_on": message.inserted_on.isoformat() if message.inserted_on else None,
            "rejected_on": datetime.now(UTC).isoformat(timespec="seconds"),
            "body": content,
        }
        async with self._client.in_use() as client:
            try:
                await client.poison(json.dumps(letter))
            except MessageTooLarge:
                # The body alone is as long as a message may be: it goes first, by itself.
                whole = await client.poison(message.text)
                await client.poison(json.dumps({**letter, "body": None, "body_message": whole}))

    async def _settle_if_last(self) -> None:
        if not self._open:
            await self._end(self._settle)

    async def _end(self, settle: Callable[[AzureClient], Awaitable[object]]) -> None:
        try:
            async with self._turn, self._client.in_use() as client:
                await settle(client)
        except MessageGone:
            # Deleted already, or delivered anew meanwhile: what Temporal has it has once.
            self._log.info("message %s was not ours any more", self.message.id)
        finally:
            # It has had its turn, so this does not cut off an update half way.
            self._heart.cancel()
            self._ended(self)

    async def _settle(self, client: AzureClient) -> None:
        if not self._again:
            await client.delete(self.message.id, self._receipt)
            return
        # Of several events only those come again that have to.
        rest = [self._entries[entry] for entry in sorted(self._again)]
        changed = len(rest) < len(self._entries)
        text = encode(rest, like=self.message.text) if changed else None
        await client.update(self.message.id, self._receipt, min(self._again.values()), text)

    async def _beat(self) -> None:
        """Extend the time at each half of it, for as long as the lease lives."""
        while True:
            await asyncio.sleep(self._visibility / 2)
            try:
                async with self._turn:
                    self._receipt = await self._client.update(
                        self.message.id, self._receipt, self._visibility
                    )
            except MessageGone:
                self._log.warning(
                    "message %s is not ours any more and may be delivered again", self.message.id
                )
                return
            except Exception as error:
                self._log.warning("cannot extend message %s: %s", self.message.id, error)


class QueueDelivery(Delivery):
    """One event of a message."""

    keeps_rejected = True

    def __init__(self, event: Event, lease: Lease, entry: int, content: Any) -> None:
        super().__init__(event)
        self._lease = lease
        self._entry = entry
        self._content = content

    async def ack(self, accepted: Accepted) -> None:
        """The message is deleted with the last of its events."""
        await self._lease.finish(self._entry)

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """The message becomes visible again; nothing is deleted."""
        await self._lease.again(self._entry, retry_after)

    async def reject(self, reason: str) -> None:
        """The event goes to the poison queue, then counts as finished."""
        await self._lease.reject(self._entry, self._content, reason)
