"""A listener's inbox: events on disk between the source's acknowledgement and Temporal's.

    source -> Inbox.put -> ack ... InboxSource -> route -> dispatch -> Inbox.remove

Seen from Temporal's side an inbox is a source that is pulled, like a queue: so what is true of
those (order within a key, holding while Temporal is away, the drain) is true of it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from temporal_runner.errors import Busy, TransientError
from temporal_runner.events.event import Accepted, Delivery, Event
from temporal_runner.plugin.sources import PullSource
from temporal_runner.storage.database import Database, writable
from temporal_runner.values.durations import format_duration

_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of arrival; never used twice
    event_key TEXT NOT NULL UNIQUE,
    ordering_key TEXT NOT NULL,
    received REAL NOT NULL,       -- seconds since 1970
    event TEXT NOT NULL           -- a CloudEvent as JSON
)
"""
_VERSION = 1
_RETRY_AFTER = 5.0
"""Seconds after which a sender is asked to come again while there is no room."""
_LOOK_AGAIN = 1.0
"""Seconds between two looks for room, where nothing tells of it: the clock may have been set."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that is on disk.

    Attributes:
        id: Its place in the order of arrival.
        event: The event.
        ordering_key: Entries with the same key are dispatched one after the other.
        size: Bytes that count against `max_size`.
    """

    id: int
    event: Event
    ordering_key: str
    size: int


class Inbox:
    """The events of one listener that Temporal has not accepted yet.

    Attributes:
        events: How many there are.
        bytes: What they take, as JSON.
        error: Why the last write failed; empty once one succeeded.
    """

    def __init__(self, file: Path, *, max_size: int, max_age: timedelta) -> None:
        """Touch nothing yet.

        Args:
            file: The SQLite file; of one listener of one process.
            max_size: Bytes of events above which it takes no more.
            max_age: It takes no more while its oldest event waits for longer.
        """
        self.file = file
        self.events = 0
        self.bytes = 0
        self.error = ""
        self._max_size = max_size
        self._max_age = max_age
        self._database = Database("the inbox", file, _TABLES, _VERSION, exclusive=True)
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
        self._given_out = 0
        self.events, self.bytes, self._oldest = await self._database.run(_count)
        if self.events:
            self._arrived.set()

    async def close(self) -> None:
        """Finish what is being written, and close the file."""
        await self._database.close()

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
        """
        event_json = json.dumps(event.to_dict(), default=str)
        size = len(event_json)
        # One that is larger than the whole inbox is let into an empty one.
        self._full = self._full or (self.events > 0 and self.bytes + size > self._max_size)
        if refusal := self.refusal():
            raise Busy(refusal, retry_after=_RETRY_AFTER)
        row = (writable(event_key), writable(ordering_key), time.time(), event_json)
        # Counted before it is on disk, so that those who come meanwhile see the room that is left.
        self._changed(1, size)
        try:
            new = await self._database.run(lambda connection: _insert(connection, row))
        except BaseException as error:
            self._changed(-1, -size)
            self.error = str(error)
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
        """Wait for events that were not given out yet, and return them in their order."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            entries = await self._database.run(partial(_read, after=self._given_out, most=most))
            if entries:
                self._given_out = entries[-1].id
                self._arrived.set()  # there may be more
                return entries

    async def remove(self, entry: Entry) -> None:
        """Forget an event that needs no more dispatch.

        Raises:
            TransientError: It could not be written. The next removal tries again; after a restart
                the event is dispatched once more, which is harmless.
        """
        gone, self._not_removed = {**self._not_removed, entry.id: entry.size}, {}
        try:
            self._oldest = await self._database.run(lambda connection: _delete(connection, gone))
        except BaseException as error:
            self._not_removed |= gone
            self.error = str(error)
            raise
        self._changed(-len(gone), -sum(gone.values()))

    def _changed(self, events: int, size: int) -> None:
        self.events += events
        self.bytes += size
        if size < 0:
            self._full = False
            self._left.set()


def _count(connection: sqlite3.Connection) -> tuple[int, int, float | None]:
    query = "SELECT count(*), coalesce(sum(length(event)), 0) FROM events"
    events, size = connection.execute(query).fetchone()
    return events, size, _first(connection)


def _first(connection: sqlite3.Connection) -> float | None:
    row = connection.execute("SELECT received FROM events ORDER BY id LIMIT 1").fetchone()
    return None if row is None else row[0]


def _insert(connection: sqlite3.Connection, row: tuple[str, str, float, str]) -> bool:
    statement = (
        "INSERT INTO events (event_key, ordering_key, received, event) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (event_key) DO NOTHING"
    )
    return connection.execute(statement, row).rowcount == 1


def _read(connection: sqlite3.Connection, *, after: int, most: int) -> list[Entry]:
    query = "SELECT id, event, ordering_key FROM events WHERE id > ? ORDER BY id LIMIT ?"
    rows = connection.execute(query, (after, most))
    return [
        Entry(number, Event.from_dict(json.loads(text)), key, len(text))
        for number, text, key in rows
    ]


def _delete(connection: sqlite3.Connection, ids: Iterable[int]) -> float | None:
    connection.executemany("DELETE FROM events WHERE id = ?", [(one,) for one in ids])
    return _first(connection)


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
        self._inbox = inbox
        self._entry = entry

    async def ack(self, accepted: Accepted) -> None:
        """Temporal has it."""
        await self._inbox.remove(self._entry)

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """It stays, for the next start."""

    async def reject(self, reason: str) -> None:
        """The dead letters have it."""
        await self._inbox.remove(self._entry)
