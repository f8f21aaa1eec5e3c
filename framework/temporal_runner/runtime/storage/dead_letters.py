"""The dead letters: rejected events with the reason, kept until a person replays or drops them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from temporal_runner.errors import PermanentError, TransientError
from temporal_runner.events.event import Event
from temporal_runner.runtime.storage.event_rows import (
    read,
    standing_for,
    text_of,
    writable,
    written_somehow,
)
from temporal_runner.storage.database import Database
from temporal_runner.storage.tables import Tables
from temporal_runner.storage.transactions import Work
from temporal_runner.values.redaction import redacted

T = TypeVar("T")
_COLUMNS = "listener, event_key, route, content, event, reason, rejected, times"
_TABLES = Tables(
    [
        """
CREATE TABLE IF NOT EXISTS dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    listener TEXT NOT NULL,
    event_key TEXT NOT NULL,
    route TEXT NOT NULL,          -- the action that it was rejected by; empty where by none
    content TEXT NOT NULL,        -- a digest: two events with one ID are two letters
    event TEXT NOT NULL,          -- a CloudEvent as JSON
    reason TEXT NOT NULL,
    rejected REAL NOT NULL,       -- seconds since 1970, the last time
    times INTEGER NOT NULL,
    UNIQUE (listener, event_key, route, content)
)
"""
    ],
    version=2,
    take_back=[
        (
            f"INSERT OR IGNORE INTO main.dead_letters ({_COLUMNS})"  # noqa: S608 - ours
            f" SELECT {_COLUMNS} FROM saved.dead_letters ORDER BY id"
        )
    ],
    migrate=lambda connection: _migrate(connection),
)
_READ = (
    "SELECT id, CAST(listener AS BLOB), CAST(event AS BLOB), CAST(reason AS BLOB),"
    " CAST(rejected AS REAL), CAST(times AS INTEGER), CAST(event_key AS BLOB) FROM dead_letters"
)
_OF_EACH_DELIVERY = frozenset(["time", "headers", "traceparent", "tracestate"])
"""What may be another each time that one event is sent: no part of its content."""
_RETRY_AFTER = 30.0
"""Seconds after which an event that could not be kept is to come again."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected event.

    Attributes:
        id: What the commands call it.
        listener: The listener that received it.
        event: The event.
        reason: Why it was rejected, the last time.
        rejected: When that was.
        times: How often it was rejected.
    """

    id: int
    listener: str
    event: Event
    reason: str
    rejected: datetime
    times: int

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "id": self.id,
            "listener": self.listener,
            "reason": self.reason,
            "rejected": self.rejected.isoformat(timespec="seconds"),
            "times": self.times,
            "event": self.event.to_dict(),
        }


class DeadLetters:
    """The store; several processes of one machine may share it."""

    def __init__(self, file: Path, *, max_size: int) -> None:
        """Touch nothing yet.

        Args:
            file: The SQLite file.
            max_size: Bytes of it above which no more is kept.
        """
        self.file = file
        self._max_size = max_size
        self._database = Database("the store of dead letters", file, _TABLES)
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Open the file.

        Raises:
            TransientError: Another process holds it for too long, or the disk is full.
            PermanentError: The file cannot be used.
        """
        await self._database.open()

    async def close(self) -> None:
        """Close the file."""
        await self._database.close()

    async def keep(
        self, listener: str, event: Event, event_key: str, reason: str, route: str | None = None
    ) -> None:
        """Keep a rejected event; it is on disk when this returns.

        An event that is there already is kept once, with the new reason.

        Args:
            listener: The listener that received it.
            event: The event.
            event_key: What tells it from all others.
            reason: Why it is rejected.
            route: What rejected it, empty for none: what two routes rejected is kept twice. None
                is whatever rejected it before.

        Raises:
            TransientError: There is no room, or it could not be written.
        """
        event_json = written_somehow(event)
        why = writable(redacted(reason))
        letter = _Row(
            writable(listener), writable(event_key), route, content_of(event), event_json, why
        )
        try:
            await self._run(lambda connection: _keep(connection, letter, self._max_size))
        except (TransientError, PermanentError) as error:
            raise TransientError(str(error), retry_after=_RETRY_AFTER) from error

    async def find(
        self, *, listener: str | None = None, ids: Sequence[int] | None = None
    ) -> list[DeadLetter]:
        """Those of a listener, or with some ids, or all, the oldest first."""
        return await self._run(lambda connection: _find(connection, self.file, listener, ids))

    async def drop(self, letter: DeadLetter) -> None:
        """Forget one; it stays where it was rejected again since it was read."""
        statement = "DELETE FROM dead_letters WHERE id = ? AND times = ?"
        await self._run(lambda connection: connection.execute(statement, (letter.id, letter.times)))

    async def _run(self, work: Work[T]) -> T:
        """Work on the file, which is opened again where it could not go on."""
        async with self._opening:
            if self._database.failure is not None:
                await self._database.open()
        return await self._database.run(work)


def content_of(event: Event) -> str:
    """A digest of what an event says, the same each time that it is sent."""
    attributes = json.loads(written_somehow(event))
    said = {name: value for name, value in attributes.items() if name not in _OF_EACH_DELIVERY}
    canonical = json.dumps(said, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class _Row:
    listener: str
    event_key: str
    route: str | None
    content: str
    event: str
    reason: str


def _migrate(connection: sqlite3.Connection) -> None:
    """From version 1, in which events with one ID overwrote each other."""
    connection.execute("ALTER TABLE dead_letters RENAME TO version_1")
    connection.execute(_TABLES.statements[0])
    connection.create_function("content_of", 1, _content_of_row, deterministic=True)
    connection.execute(
        f"INSERT INTO dead_letters (id, {_COLUMNS})"  # noqa: S608 - ours
        " SELECT id, listener, event_key, '', content_of(CAST(event AS BLOB)), event, reason,"
        " rejected, times FROM version_1 ORDER BY id"
    )
    connection.execute("DROP TABLE version_1")


def _content_of_row(event: object) -> str:
    try:
        return content_of(read(event))
    except ValueError:
        return ""


def _keep(connection: sqlite3.Connection, letter: _Row, max_size: int) -> None:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    if (pages - free) * size + len(letter.event) > max_size:
        raise TransientError(
            f"the dead letters are full (max_size {max_size} bytes): replay or drop some"
        )
    # A letter of version 1 does not say which route rejected it.
    known = connection.execute(
        "SELECT id FROM dead_letters WHERE listener = ? AND event_key = ? AND content = ?"
        " AND (? IS NULL OR route IN (?, '')) ORDER BY route = '', id",
        (letter.listener, letter.event_key, letter.content, letter.route, letter.route),
    ).fetchone()
    if known is None:
        connection.execute(
            f"INSERT INTO dead_letters ({_COLUMNS})"  # noqa: S608 - ours
            " VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
            (
                letter.listener,
                letter.event_key,
                letter.route or "",
                letter.content,
                letter.event,
                letter.reason,
                time.time(),
            ),
        )
        return
    connection.execute(
        "UPDATE dead_letters SET event = ?, reason = ?, rejected = ?, times = times + 1,"
        " route = coalesce(nullif(?, ''), route) WHERE id = ?",
        (letter.event, letter.reason, time.time(), letter.route, known[0]),
    )


def _find(
    connection: sqlite3.Connection, file: Path, listener: str | None, ids: Sequence[int] | None
) -> list[DeadLetter]:
    letters = (_letter(row, file) for row in connection.execute(f"{_READ} ORDER BY id"))
    return [
        letter
        for letter in letters
        if (listener is None or letter.listener == listener) and (ids is None or letter.id in ids)
    ]


def _letter(row: tuple[Any, ...], file: Path) -> DeadLetter:
    """A letter; of one that cannot be read, what is left of it."""
    number, listener, event_row, reason, rejected, times, key = row
    why = text_of(reason)
    try:
        event = read(event_row)
    except ValueError as error:
        why = f"{why}\nrow {number} cannot be read any more: {error}"
        event = standing_for(event_row, where=str(file), key=text_of(key))
    try:
        when = datetime.fromtimestamp(rejected, UTC)
    except (OverflowError, ValueError, OSError):
        when = datetime.fromtimestamp(0, UTC)
    return DeadLetter(number, text_of(listener), event, why, when, times)
