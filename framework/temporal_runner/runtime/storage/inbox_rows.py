"""The table of an inbox: its rows in the order of arrival, written, read and deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from temporal_runner.events.event import Event
from temporal_runner.runtime.storage import event_rows
from temporal_runner.storage.tables import Tables

_VERSION = 1
TABLES = Tables(
    [
        """
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of arrival; never used twice
    event_key TEXT NOT NULL UNIQUE,
    ordering_key TEXT NOT NULL,
    received REAL NOT NULL,       -- seconds since 1970
    event TEXT NOT NULL           -- a CloudEvent as JSON
)
"""
    ],
    _VERSION,
    take_back=[
        (
            "INSERT OR IGNORE INTO main.events (event_key, ordering_key, received, event)"
            " SELECT event_key, ordering_key, received, event FROM saved.events ORDER BY id"
        )
    ],
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that is on disk.

    Attributes:
        id: Its place in the order of arrival.
        event: The event.
        ordering_key: Entries with the same key are dispatched one after the other.
        size: Bytes that count against `max_size`.
        unreadable: Why its row cannot be read, where it cannot. `event` stands for it then.
    """

    id: int
    event: Event
    ordering_key: str
    size: int
    unreadable: str = ""


def count(connection: sqlite3.Connection) -> tuple[int, int, float | None, int]:
    """How many events there are, their bytes, when the oldest came, and what comes before all."""
    query = "SELECT count(*), coalesce(sum(length(event)), 0), coalesce(min(id), 1) FROM events"
    events, size, first = connection.execute(query).fetchone()
    return events, size, _oldest(connection), first - 1


def _oldest(connection: sqlite3.Connection) -> float | None:
    query = "SELECT CAST(received AS REAL) FROM events ORDER BY id LIMIT 1"
    row = connection.execute(query).fetchone()
    return None if row is None else row[0]


def insert(connection: sqlite3.Connection, row: tuple[str, str, float, str]) -> bool:
    """Add a row: event key, ordering key, when it came, JSON; whether it is new."""
    statement = (
        "INSERT INTO events (event_key, ordering_key, received, event) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (event_key) DO NOTHING"
    )
    return connection.execute(statement, row).rowcount == 1


def read(
    connection: sqlite3.Connection, *, again: list[int], after: int, most: int, file: Path
) -> tuple[list[Entry], list[Entry]]:
    """Those rows that are given out again, and so many after the last that was given out."""
    # As bytes: a text that is not in UTF-8 would fail the whole read.
    query = (
        "SELECT id, CAST(event AS BLOB), CAST(ordering_key AS BLOB), CAST(event_key AS BLOB),"
        " coalesce(length(event), 0) FROM events"
    )
    of_one = f"{query} WHERE id = ?"
    found = [row for one in again for row in connection.execute(of_one, (one,))]
    new = connection.execute(f"{query} WHERE id > ? ORDER BY id LIMIT ?", (after, most))
    return [_entry(row, file) for row in found], [_entry(row, file) for row in new]


def _entry(row: tuple[int, object, object, object, int], file: Path) -> Entry:
    number, event, ordering_key, key, size = row
    order = event_rows.text_of(ordering_key)
    try:
        return Entry(number, event_rows.read(event), order, size)
    except ValueError as error:
        why = f"row {number} of the inbox {file} cannot be read: {error}"[:2000]
        left = event_rows.standing_for(event, where=str(file), key=event_rows.text_of(key))
        return Entry(number, left, order, size, unreadable=why)


def delete(connection: sqlite3.Connection, ids: Collection[int]) -> float | None:
    """Delete rows; when the oldest of the others came."""
    connection.executemany("DELETE FROM events WHERE id = ?", [(one,) for one in ids])
    if not ids:  # a write all the same: that it succeeds says that writing does
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    return _oldest(connection)
