"""A listener's inbox: events on disk between the source's acknowledgement and Temporal's.

    source -> Inbox.put -> ack ... Inbox.take -> route -> dispatch -> Inbox.remove

What fails on its way from here comes again by itself, and what has its ordering key after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

from temporal_runner.errors import Busy, EventRejected, TransientError
from temporal_runner.events.event import Event
from temporal_runner.retry.backoff import Backoff
from temporal_runner.retry.connector import DEFAULT
from temporal_runner.runtime.storage import event_rows, inbox_rows
from temporal_runner.runtime.storage.event_rows import writable
from temporal_runner.runtime.storage.inbox_rows import Entry
from temporal_runner.runtime.storage.retries import Retries
from temporal_runner.storage.database import Database
from temporal_runner.values.durations import format_duration

_RETRY_AFTER = 5.0
"""Seconds after which a sender is asked to come again while there is no room."""
_LOOK_AGAIN = 1.0
"""Seconds between two looks for room, where nothing tells of it (the clock may have been set), and
between two tries to write after one that failed."""


class Inbox:
    """The events of one listener that Temporal has not accepted yet.

    Attributes:
        events: How many there are.
        bytes: What they take, as JSON.
        error: Why the last write failed; empty once one succeeded.
    """

    def __init__(
        self,
        file: Path,
        *,
        max_size: int,
        max_age: timedelta,
        backoff: Backoff = DEFAULT.backoff,
    ) -> None:
        """Touch nothing yet.

        Args:
            file: The SQLite file; of one listener of one process.
            max_size: Bytes of events above which it takes no more.
            max_age: It takes no more while its oldest event waits for longer.
            backoff: How long an event that failed waits until it comes again.
        """
        self.file = file
        self.events = 0
        self.bytes = 0
        self.error = ""
        self._max_size = max_size
        self._max_age = max_age
        self._database = Database("the inbox", file, inbox_rows.TABLES, exclusive=True)
        self._backoff = backoff
        self._retries = Retries(backoff)
        self._oldest: float | None = None
        self._given_out = 0
        self._full = False
        self._not_removed: dict[int, int] = {}
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()

    async def open(self) -> None:
        """Open the file, with what an earlier run left in it.

        Raises:
            TransientError: Another process has it, or the disk is full.
            PermanentError: The file cannot be used.
        """
        await self._database.open()
        self._retries, self._not_removed, self._full = Retries(self._backoff), {}, False
        counted = await self._database.run(inbox_rows.count)
        self.events, self.bytes, self._oldest, self._given_out = counted
        self.error = ""
        if self.events:
            self._arrived.set()

    async def watch(self) -> None:
        """Go on trying to write after a write that failed; until its file fails.

        Raises:
            TransientError: It cannot go on until it is opened again.
        """
        while True:
            await self._database.wait_failed(_LOOK_AGAIN)
            if self._not_removed or self.error:
                with contextlib.suppress(Exception):  # `error` tells of it
                    await self._forget({})

    async def close(self) -> None:
        """Finish what is being written, and close the file."""
        await self._database.close()

    @property
    def failing(self) -> int:
        """How many events failed and are to come again, less those that wait behind them."""
        return len(self._retries)

    @property
    def oldest(self) -> float:
        """Seconds that the oldest event has waited; 0 where there is none."""
        return 0.0 if self._oldest is None else max(0.0, time.time() - self._oldest)

    def refusal(self) -> str:
        """Why it takes no event now; empty where it does."""
        if self._full:
            return f"the inbox is full ({self.bytes} bytes of max_size {self._max_size})"
        if self.oldest > self._max_age.total_seconds():
            waits, most = format_duration(self.oldest), format_duration(self._max_age)
            return f"the inbox is stuck: its oldest event waits for {waits} (max_age {most})"
        return ""

    async def wait_room(self) -> None:
        """Return as soon as there is room for an event."""
        while self.refusal():
            self._left.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN):
                    await self._left.wait()

    async def put(self, event: Event, event_key: str, ordering_key: str) -> bool:
        """Keep an event; it is on disk when this returns.

        Args:
            event: The event.
            event_key: What tells it from all others.
            ordering_key: Of its dispatch.

        Returns:
            Whether it is new; an event that is there already is kept once.

        Raises:
            Busy: There is no room.
            TransientError: It could not be written.
            EventRejected: JSON has no form for it.
        """
        try:
            event_json = event_rows.written(event)
        except Exception as error:
            raise EventRejected(f"it has no form in JSON: {error!r}"[:2000]) from error
        size = len(event_json)
        # One that is larger than the whole inbox is let into an empty one.
        self._full = self._full or (self.events > 0 and self.bytes + size > self._max_size)
        if refusal := self.refusal():
            raise Busy(refusal, retry_after=_RETRY_AFTER)
        row = (writable(event_key), writable(ordering_key), time.time(), event_json)
        # Counted before it is on disk, so that those who come meanwhile see the room that is left.
        self._changed(1, size)
        try:
            new = await self._database.run(lambda connection: inbox_rows.insert(connection, row))
        except BaseException as error:
            self._changed(-1, -size)
            if isinstance(error, Exception):
                self.error = event_rows.reason_of(error)
            if isinstance(error, TransientError):
                raise TransientError(str(error), retry_after=_RETRY_AFTER) from error
            raise
        self.error = ""
        if not new:
            self._changed(-1, -size)
            return False
        if self._oldest is None:
            self._oldest = row[2]
        self._arrived.set()
        return True

    async def take(self, most: int) -> list[Entry]:
        """Wait for events that are to be dispatched, and return them in their order.

        Args:
            most: How many that were not given out yet, and half as many that failed before.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._retries.next_in()):
                    await self._arrived.wait()
            self._arrived.clear()
            again = self._retries.due(max(1, most // 2))
            try:
                entries = await self._read(again, most)
            except BaseException:
                for number, key in again:
                    self._retries.failed(number, key, 0.0)
                self._arrived.set()  # what arrived is still there
                raise
            if entries:
                return entries

    async def _read(self, again: list[tuple[int, str]], most: int) -> list[Entry]:
        numbers = [number for number, _ in again]
        read = partial(
            inbox_rows.read, again=numbers, after=self._given_out, most=most, file=self.file
        )
        entries, new = await self._database.run(read)
        found = {entry.id for entry in entries}
        for number, key in again:
            if number not in found:
                self._retries.settled(number, key)  # somebody else removed it
        if new:
            self._given_out = new[-1].id
            self._arrived.set()  # there may be more
        for entry in new:
            if entry.ordering_key in self._retries:
                self._retries.behind(entry.id, entry.ordering_key)
            else:
                entries.append(entry)
        return entries

    def again(self, entry: Entry, at_least: float) -> None:
        """Give an event out again that failed, after a delay that grows with each failure.

        Until then no other with its ordering key is given out.

        Args:
            entry: The event.
            at_least: Seconds until then, at least.
        """
        self._retries.failed(entry.id, entry.ordering_key, at_least)
        self._arrived.set()

    async def remove(self, entry: Entry) -> None:
        """Forget an event that needs no more dispatch.

        Raises:
            TransientError: It could not be written. That is tried again; after a restart the event
                is dispatched once more, which is harmless.
        """
        if entry.ordering_key in self._retries:
            self._retries.settled(entry.id, entry.ordering_key)
            self._arrived.set()
        await self._forget({entry.id: entry.size})

    async def _forget(self, entries: dict[int, int]) -> None:
        gone, self._not_removed = {**self._not_removed, **entries}, {}
        try:
            self._oldest = await self._database.run(
                lambda connection: inbox_rows.delete(connection, gone)
            )
        except BaseException as error:
            self._not_removed |= gone
            if isinstance(error, Exception):
                self.error = event_rows.reason_of(error)
            raise
        self.error = ""
        self._changed(-len(gone), -sum(gone.values()))

    def _changed(self, events: int, size: int) -> None:
        self.events += events
        self.bytes += size
        if size < 0:
            self._full = False
            self._left.set()
