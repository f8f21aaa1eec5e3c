"""The dead letters: rejected events with the reason, kept until a person replays or drops them."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from temporal_runner.errors import TransientError
from temporal_runner.events.event import Event
from temporal_runner.storage.database import Database, writable
from temporal_runner.values.redaction import redacted

_TABLES = """
CREATE TABLE IF NOT EXISTS dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    listener TEXT NOT NULL,
    event_key TEXT NOT NULL,
    event TEXT NOT NULL,          -- a CloudEvent as JSON
    reason TEXT NOT NULL,
    rejected REAL NOT NULL,       -- seconds since 1970, the last time
    times INTEGER NOT NULL,
    UNIQUE (listener, event_key)
)
"""
_VERSION = 1
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
        self._database = Database("the store of dead letters", file, _TABLES, _VERSION)

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

    async def keep(self, listener: str, event: Event, event_key: str, reason: str) -> None:
        """Keep a rejected event; it is on disk when this returns.

        An event that is there already is kept once, with the new reason.

        Raises:
            TransientError: There is no room, or it could not be written.
        """
        event_json = json.dumps(event.to_dict(), default=str)
        why = writable(redacted(reason))
        row = (listener, writable(event_key), event_json, why, time.time())
        try:
            await self._database.run(lambda connection: _keep(connection, row, self._max_size))
        except TransientError as error:
            raise TransientError(str(error), retry_after=_RETRY_AFTER) from error

    async def find(
        self, *, listener: str | None = None, ids: Sequence[int] | None = None
    ) -> list[DeadLetter]:
        """Those of a listener, or with some ids, or all, the oldest first."""
        return await self._database.run(lambda connection: _find(connection, listener, ids))

    async def drop(self, letter: DeadLetter) -> None:
        """Forget one; it stays where it was rejected again since it was read."""
        statement = "DELETE FROM dead_letters WHERE id = ? AND times = ?"
        await self._database.run(
            lambda connection: connection.execute(statement, (letter.id, letter.times))
        )


def _keep(
    connection: sqlite3.Connection, row: tuple[str, str, str, str, float], max_size: int
) -> None:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    if (pages - free) * size + len(row[2]) > max_size:
        raise TransientError(
            f"the dead letters are full (max_size {max_size} bytes): replay or drop some"
        )
    connection.execute(
        "INSERT INTO dead_letters (listener, event_key, event, reason, rejected, times)"
        " VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT (listener, event_key) DO UPDATE SET"
        " event = excluded.event, reason = excluded.reason, rejected = excluded.rejected,"
        " times = times + 1",
        row,
    )


def _find(
    connection: sqlite3.Connection, listener: str | None, ids: Sequence[int] | None
) -> list[DeadLetter]:
    query = "SELECT id, listener, event, reason, rejected, times FROM dead_letters ORDER BY id"
    return [
        DeadLetter(
            id=number,
            listener=owner,
            event=Event.from_dict(json.loads(event_json)),
            reason=reason,
            rejected=datetime.fromtimestamp(rejected, UTC),
            times=times,
        )
        for number, owner, event_json, reason, rejected, times in connection.execute(query)
        if (listener is None or owner == listener) and (ids is None or number in ids)
    ]
