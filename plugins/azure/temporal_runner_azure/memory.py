"""What list mode has done: versions of blobs by name and etag, in memory and, if asked, on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence, Set
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


_SKIPPED = ""
"""No blob's name: says that `skip_all` was done, also where there was nothing to skip."""
_of_process: dict[str, dict[str, str]] = {}
"""By owner: a connection that is lost and made anew forgets nothing."""


class Memory:
    """The versions that are done, the last one of each name.

    It holds no more than the container does: what is listed no more is forgotten.

    Attributes:
        is_new: Nothing was ever remembered.
    """

    def __init__(self, path: str | None, owner: str) -> None:
        """Open the memory.

        Args:
            path: A file that outlives the process; None remembers for as long as that lives.
            owner: Whose memory it is: listeners that share a file do not see one another's.

        Raises:
            sqlite3.Error: The file cannot be opened or is not ours.
        """
        self._path = path
        self._owner = owner
        self._file: sqlite3.Connection | None = None
        if path is None:
            self._done = _of_process.setdefault(owner, {})
        else:
            self._file = _open(path)
            rows = self._file.execute("select name, etag from done where owner = ?", (owner,))
            self._done = dict(rows)
        self.is_new = not self._done

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
        row = (self._owner, version.name, version.etag, rejected)
        self._write("insert or replace into done values (?, ?, ?, ?)", [row])

    def skip_all(self, versions: Iterable[Version]) -> None:
        """They were there before us: none of them is an event, unless it is written again."""
        versions = list(versions)
        self._done.update((version.name, version.etag) for version in versions)
        # All or none: killed half way, the next start begins with it anew.
        rows = [(self._owner, each.name, each.etag, None) for each in versions]
        rows.append((self._owner, _SKIPPED, "", None))
        self._write("insert or replace into done values (?, ?, ?, ?)", rows)
        self.is_new = False

    def keep_only(self, names: Set[str]) -> None:
        """Forget what is not among the names of a whole listing."""
        gone = self._done.keys() - names - {_SKIPPED}
        for name in gone:
            del self._done[name]
        rows = [(self._owner, name) for name in gone]
        self._write("delete from done where owner = ? and name = ?", rows)

    def close(self) -> None:
        """Close the file; what is remembered later is still written to it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, statement: str, rows: Sequence[tuple[str | None, ...]]) -> None:
        if self._path is None or not rows:
            return
        file = self._file or _open(self._path)
        try:
            with file:
                file.execute("begin")
                file.executemany(statement, rows)
        finally:
            if file is not self._file:
                file.close()


def _open(path: str) -> sqlite3.Connection:
    file = sqlite3.connect(path, isolation_level=None)
    try:
        file.execute("pragma journal_mode = wal")
        file.execute("pragma synchronous = normal")
        file.execute(
            "create table if not exists done (owner text, name text, etag text, rejected text,"
            " primary key (owner, name)) without rowid"
        )
    except sqlite3.Error:
        file.close()
        raise
    return file
