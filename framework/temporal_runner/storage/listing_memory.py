"""What a listing has delivered: versions of objects by key and etag, on disk or until the end."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from temporal_runner.storage.database import Database
from temporal_runner.storage.tables import Tables

Version = tuple[str, str]
"""An object's key and etag."""
_Key = tuple[asyncio.AbstractEventLoop, str | None, str, str, str]

# The owner is called bucket, and there may be a table `done` of older files: see `_adopt`.
_TABLES = Tables(
    [
        """
CREATE TABLE IF NOT EXISTS delivered (
    bucket TEXT NOT NULL, key TEXT NOT NULL, etag TEXT NOT NULL,
    rejected TEXT,  -- why it can never succeed; NULL where it did
    PRIMARY KEY (bucket, key, etag)
) WITHOUT ROWID
""",
        """
CREATE TABLE IF NOT EXISTS listed (
    bucket TEXT NOT NULL, prefix TEXT NOT NULL,  -- was listed to its end once
    PRIMARY KEY (bucket, prefix)
) WITHOUT ROWID
""",
        """
CREATE TEMPORARY TABLE present (
    key TEXT NOT NULL, etag TEXT NOT NULL, PRIMARY KEY (key, etag)
) WITHOUT ROWID
""",
    ],
    version=1,
    take_back=[
        "INSERT OR IGNORE INTO main.delivered SELECT * FROM saved.delivered",
        "INSERT OR IGNORE INTO main.listed SELECT * FROM saved.listed",
    ],
)
_MOST = 500
"""Keys in a query."""


class ListingMemory:
    """Which objects of a prefix need no delivery: no more of them than the listing has.

    A process has one for each listing, for as long as a connection uses it: what a connection that
    failed had delivered may be settled while the next one lists. Without a file it stays, for a
    connection that is lost and made anew forgets nothing.

    Attributes:
        listed: Prefixes of the owner that were listed to their end before it was opened.
    """

    _shared: ClassVar[dict[_Key, ListingMemory]] = {}

    def __init__(self, key: _Key) -> None:
        self._key = key
        _, file, _, self._owner, self._prefix = key
        self._in_file = file is not None
        self._database = Database(
            "the state file",
            Path(file) if file is not None else None,
            _TABLES,
            next_step="give the path of a file that can be written, in a folder that exists",
            make_folders=False,
        )
        self._users = 0
        self._opening = asyncio.Lock()
        self.listed: tuple[str, ...] = ()

    @property
    def listed_before(self) -> bool:
        """All of what is listed now was listed to its end before it was opened."""
        return self.was_listed(self._prefix)

    def was_listed(self, key: str) -> bool:
        """Whether an object would have been found by a listing before this one."""
        return key.startswith(self.listed) if self.listed else False

    @classmethod
    async def open(cls, file: str | None, listener: str, owner: str, prefix: str) -> ListingMemory:
        """The process's one memory of a listing; `close` it.

        Args:
            file: The SQLite file; several runners of one machine may share it.
            listener: The listener's name: two that list the same have a memory each.
            owner: Whose the objects are, such as a bucket.
            prefix: The prefix that is listed.

        Raises:
            PermanentError: The file cannot be used.
            TransientError: Another process has it, or the disk is full.
        """
        key = (asyncio.get_running_loop(), file, listener, owner, prefix)
        memory = cls._shared.setdefault(key, cls(key))
        await memory.use()
        return memory

    async def use(self) -> None:
        """Open it, where nobody else has; `close` it once for each use."""
        self._users += 1
        try:
            async with self._opening:
                if not self._database.is_open:
                    await self._database.open()
                self.listed = await self._database.run(self._look_back)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Use it no more."""
        self._users -= 1
        if not self._users and (self._in_file or not self._database.is_open):
            del self._shared[self._key]
            await self._database.close()

    async def new(
        self, versions: Sequence[Version], formerly: Mapping[Version, Version] | None = None
    ) -> list[Version]:
        """Of a page of the listing what was not delivered; and note what is present.

        Args:
            versions: The page.
            formerly: How an older version of the source told some of them; noted anew.
        """
        return await self._database.run(
            lambda connection: self._new(connection, versions, formerly or {})
        )

    async def add(self, versions: Iterable[Version], rejected: str | None = None) -> None:
        """Remember versions, and of those that can never succeed the reason."""
        why = None if rejected is None else rejected.encode("utf-8", "backslashreplace").decode()
        rows = [(self._owner, key, etag, why) for key, etag in versions]
        await self._database.run(
            lambda connection: connection.executemany(
                "INSERT OR REPLACE INTO delivered VALUES (?, ?, ?, ?)", rows
            )
        )

    async def end_of_listing(self) -> None:
        """The listing came to its end: forget the versions that are gone."""
        await self._database.run(self._forget)

    # In the database's thread.

    def _look_back(self, connection: sqlite3.Connection) -> tuple[str, ...]:
        _adopt(connection, self._owner, self._prefix)
        query = "SELECT prefix FROM listed WHERE bucket = ?"
        return tuple(prefix for (prefix,) in connection.execute(query, (self._owner,)))

    def _new(
        self,
        connection: sqlite3.Connection,
        versions: Sequence[Version],
        formerly: Mapping[Version, Version],
    ) -> list[Version]:
        known: set[Version] = set()
        for start in range(0, len(versions), _MOST):
            keys = [key for key, _ in versions[start : start + _MOST]]
            marks = ",".join("?" * len(keys))
            known.update(
                connection.execute(
                    f"SELECT key, etag FROM delivered WHERE bucket = ? AND key IN ({marks})",  # noqa: S608
                    (self._owner, *keys),
                )
            )
        connection.executemany("INSERT OR IGNORE INTO present VALUES (?, ?)", versions)
        for version, former in formerly.items():
            if former in known and version not in known:
                connection.execute(
                    "UPDATE delivered SET etag = ? WHERE bucket = ? AND key = ? AND etag = ?",
                    (version[1], self._owner, *former),
                )
                known.add(version)
        return [version for version in versions if version not in known]

    def _forget(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "DELETE FROM delivered WHERE bucket = ? AND substr(key, 1, ?) = ?"
            " AND (key, etag) NOT IN (SELECT key, etag FROM present)",
            (self._owner, len(self._prefix), self._prefix),
        )
        connection.execute("DELETE FROM present")
        connection.execute(
            "INSERT OR IGNORE INTO listed VALUES (?, ?)", (self._owner, self._prefix)
        )


def _adopt(connection: sqlite3.Connection, owner: str, prefix: str) -> None:
    """Take over what older versions wrote: of a container with its listener's name before it.

    And in a table of its own, before that.
    """
    whose = "{0} = ? OR substr({0}, -length(?)) = ?"
    its = (owner, f" {owner}", f" {owner}")
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'done'").fetchone():
        of_done = whose.format("owner")
        connection.execute(
            "INSERT OR IGNORE INTO delivered SELECT ?, name, etag, rejected FROM done"  # noqa: S608
            f" WHERE name != '' AND ({of_done})",
            (owner, *its),
        )
        connection.execute(
            f"INSERT OR IGNORE INTO listed SELECT DISTINCT ?, ? FROM done WHERE {of_done}",  # noqa: S608
            (owner, prefix, *its),
        )
        connection.execute(f"DELETE FROM done WHERE {of_done}", its)  # noqa: S608
    for table in ("delivered", "listed"):
        connection.execute(
            f"UPDATE OR IGNORE {table} SET bucket = ?"  # noqa: S608
            " WHERE substr(bucket, -length(?)) = ?",
            (owner, *its[1:]),
        )
