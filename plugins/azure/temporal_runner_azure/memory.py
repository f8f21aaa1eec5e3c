"""What list mode has done: versions of blobs by name and etag, in memory and, if asked, on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a blob.

    Attributes:
        name: The blob's name.
        etag: Its etag, without quotes.
    """

    name: str
    etag: str


class Memory:
    """The versions that are done, the last one of each name.

    It holds no more than the container does: what is listed no more is forgotten.
    """

    def __init__(self, path: str | None, owner: str) -> None:
        """Open the memory.

        Args:
            path: A file that outlives the process; None remembers in memory only.
            owner: Whose memory it is: listeners that share a file do not see one another's.

        Raises:
            sqlite3.Error: The file cannot be opened or is not ours.
        """
        self._owner = owner
        self._done: dict[str, str] = {}
        self._file: sqlite3.Connection | None = None
        if path is not None:
            self._file = sqlite3.connect(path, isolation_level=None)
            self._file.execute("pragma journal_mode = wal")
            self._file.execute("pragma synchronous = normal")
            self._file.execute(
                "create table if not exists done (owner text, name text, etag text, rejected text,"
                " primary key (owner, name)) without rowid"
            )
            rows = self._file.execute("select name, etag from done where owner = ?", (owner,))
            self._done = dict(rows)

    def knows(self, version: Version) -> bool:
        """Whether it is done."""
        return self._done.get(version.name) == version.etag

    def remember(self, version: Version, rejected: str | None = None) -> None:
        """It is done.

        Args:
            version: What.
            rejected: Why it was rejected, if it was; kept in the file for a person to find.
        """
        self._done[version.name] = version.etag
        if self._file is not None:
            self._file.execute(
                "insert or replace into done values (?, ?, ?, ?)",
                (self._owner, version.name, version.etag, rejected),
            )

    def keep_only(self, names: Set[str]) -> None:
        """Forget what is not among the names of a whole listing."""
        gone = self._done.keys() - names
        for name in gone:
            del self._done[name]
        if self._file is not None and gone:
            self._file.execute("begin")
            self._file.executemany(
                "delete from done where owner = ? and name = ?",
                [(self._owner, name) for name in gone],
            )
            self._file.execute("commit")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
