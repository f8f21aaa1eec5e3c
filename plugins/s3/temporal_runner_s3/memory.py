"""What a listing has delivered: (key, etag), in an SQLite file or until the process ends.

Not a watermark of time: an object's time is when its upload began, so that a long upload appears
behind others that are older by then.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from temporal_runner.plugin import PermanentError

Version = tuple[str, str]
"""An object's key and etag."""

_TABLES = """\
CREATE TABLE IF NOT EXISTS delivered (
    bucket TEXT NOT NULL, key TEXT NOT NULL, etag TEXT NOT NULL,
    rejected TEXT,  -- why it can never succeed; NULL where it did
    PRIMARY KEY (bucket, key, etag)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS listed (
    bucket TEXT NOT NULL, prefix TEXT NOT NULL,  -- was listed to its end once
    PRIMARY KEY (bucket, prefix)
) WITHOUT ROWID;
CREATE TEMPORARY TABLE present (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_MOST = 500
"""Keys in a query."""


class Memory:
    """Remembers which objects of a prefix need no delivery; safe between threads."""

    def __init__(self, file: str | None, bucket: str, prefix: str) -> None:
        """Open, and make what is missing.

        Args:
            file: The SQLite file; several runners of one machine may share it.
            bucket: The bucket.
            prefix: The prefix that is listed.

        Raises:
            PermanentError: The file cannot be used.
        """
        self._bucket, self._prefix = bucket, prefix
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(
                file or ":memory:", timeout=10, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise PermanentError(
                f"the state file {file}: {error}",
                next_step="give a state_file in a folder that exists and can be written",
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self._database:
            self._database.execute(kind)
            yield self._database

    @property
    def listed_before(self) -> bool:
        """The prefix was listed to its end before."""
        query = "SELECT 1 FROM listed WHERE bucket = ? AND prefix = ?"
        with self._transaction("BEGIN") as database:
            return bool(database.execute(query, (self._bucket, self._prefix)).fetchone())

    def new(self, versions: Sequence[Version]) -> list[Version]:
        """Of a page of the listing what was not delivered; and note what is present."""
        known: set[Version] = set()
        with self._transaction("BEGIN") as database:
            for start in range(0, len(versions), _MOST):
                keys = [key for key, _ in versions[start : start + _MOST]]
                marks = ",".join("?" * len(keys))
                known.update(
                    database.execute(
                        f"SELECT key, etag FROM delivered WHERE bucket = ? AND key IN ({marks})",  # noqa: S608
                        (self._bucket, *keys),
                    )
                )
            database.executemany(
                "INSERT OR IGNORE INTO present VALUES (?)", ((key,) for key, _ in versions)
            )
        return [version for version in versions if version not in known]

    def add(self, versions: Iterable[Version], rejected: str | None = None) -> None:
        """Remember versions, and of those that can never succeed the reason."""
        rows = [(self._bucket, key, etag, rejected) for key, etag in versions]
        with self._transaction("BEGIN IMMEDIATE") as database:
            database.executemany("INSERT OR REPLACE INTO delivered VALUES (?, ?, ?, ?)", rows)

    def end_of_listing(self) -> None:
        """The listing came to its end: forget the objects that are gone."""
        with self._transaction("BEGIN IMMEDIATE") as database:
            database.execute(
                "DELETE FROM delivered WHERE bucket = ? AND substr(key, 1, ?) = ?"
                " AND key NOT IN (SELECT key FROM present)",
                (self._bucket, len(self._prefix), self._prefix),
            )
            database.execute("DELETE FROM present")
            database.execute(
                "INSERT OR IGNORE INTO listed VALUES (?, ?)", (self._bucket, self._prefix)
            )


class SharedMemory:
    """The process's one memory of a listing, for as long as a connection uses it.

    What a connection that failed had delivered may be settled while the next one lists. Without a
    file the memory stays as long as the process does.
    """

    _open: ClassVar[dict[tuple[str | None, ...], tuple[Memory, int]]] = {}

    def __init__(self, file: str | None, listener: str, bucket: str, prefix: str) -> None:
        """Use it: the arguments are those of `Memory`, and the listener's name.

        Raises:
            PermanentError: The file cannot be used.
        """
        self._name = (file, listener, bucket, prefix)
        known, users = self._open.get(self._name, (None, 0))
        self.memory = known or Memory(file, bucket, prefix)
        self._open[self._name] = (self.memory, users + 1)

    def release(self) -> None:
        """Use it no more."""
        memory, users = self._open[self._name]
        self._open[self._name] = (memory, users - 1)
        if users == 1 and self._name[0] is not None:
            del self._open[self._name]
            memory.close()
