"""A database's file on disk: nobody else's to read, missed when it goes, and what was in it saved.

SQLite goes on writing to a file that was removed or replaced, as any process would: everything
looks well, and all of it is gone at the next start.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from temporal_runner.errors import PermanentError

log = logging.getLogger("temporal_runner.storage")

NEXT_STEP = "give it a path on a local disk that this user can write to"
_OPEN_TO_OTHERS = 0o077
_OWN = 0o600
_SAVED = ".saved-"

Identity = tuple[tuple[int, int] | None, ...]


class FileGoneError(Exception):
    """The file at the path is not the one that was opened."""


class DatabaseFile:
    """The file of a database, with those that SQLite keeps beside it."""

    def __init__(
        self, label: str, path: Path, *, next_step: str = NEXT_STEP, make_folders: bool = True
    ) -> None:
        """Touch nothing yet.

        Args:
            label: What it is and where, for errors and logs.
            path: Where it is.
            next_step: What to do where it cannot be made.
            make_folders: Make its folders too, where they are missing.
        """
        self.path = path
        self._next_step = next_step
        self._make_folders = make_folders
        self._label = label
        self._opened: Identity = ()

    def make(self) -> None:
        """Make it where it is missing, and see to it that nobody else can read it.

        Raises:
            PermanentError: It cannot be made.
        """
        try:
            if self._make_folders:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=_OWN)  # events are nobody else's business
        except OSError as error:
            message = f"{self._label} cannot be made: {error.strerror or error}"
            raise PermanentError(message, next_step=self._next_step) from error
        for end in ("", "-wal", "-shm"):
            _keep_from_others(Path(f"{self.path}{end}"))

    def opened(self) -> None:
        """It is open now: from here on it is missed."""
        self._opened = self._identity()

    def look(self) -> None:
        """Look whether it is still there.

        Raises:
            FileGoneError: It was removed or replaced, or its write-ahead log was.
        """
        try:
            found = self._identity()
        except OSError:  # the folder cannot be looked into: that says nothing of the file
            return
        if found != self._opened:
            how = "removed" if found[0] is None else "replaced"
            what = self._label if found[0] != self._opened[0] else f"the log of {self._label}"
            raise FileGoneError(f"{what} was {how} while it was open")

    def _identity(self) -> Identity:
        return tuple(_file_at(f"{self.path}{end}") for end in ("", "-wal"))

    # What was in a file that is gone.

    def save(self, connection: sqlite3.Connection) -> Path:
        """Write all that an open connection still sees into a file beside the path.

        Raises:
            OSError: There is no room, or no folder can be made.
            sqlite3.Error: The same, in SQLite's words.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(f"{self.path}.unsaved")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=_OWN)
        connection.execute("VACUUM INTO ?", (str(unfinished),))
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        saved = Path(f"{self.path}{_SAVED}{time.time_ns()}")
        unfinished.rename(saved)
        now = self._identity()
        if now[0] != self._opened[0] and now[1] == self._opened[1]:
            # Its log is still there, and would be written over what took its place.
            for end in ("-wal", "-shm"):
                Path(f"{self.path}{end}").unlink(missing_ok=True)
        return saved

    def take_back(self, connection: sqlite3.Connection, statements: Sequence[str]) -> None:
        """Take in what was saved from files that are gone.

        Args:
            connection: To the file that is there now.
            statements: SQL that copies the rows of the schema `saved` into that of `main`.
        """
        for saved in sorted(self.path.parent.glob(f"{self.path.name}{_SAVED}*")):
            try:
                with _attached(connection, saved):
                    taken = sum(connection.execute(one).rowcount for one in statements)
            except sqlite3.Error as error:
                log.error("%s: what was saved in %s cannot be read: %s", self._label, saved, error)
                continue
            saved.unlink()
            log.warning("%s: took back %d rows that were saved", self._label, taken)


@contextlib.contextmanager
def _attached(connection: sqlite3.Connection, file: Path) -> Iterator[None]:
    connection.execute("ATTACH ? AS saved", (str(file),))
    try:
        yield
    finally:
        connection.execute("DETACH saved")


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _keep_from_others(path: Path) -> None:
    """Close a file to others that an older version, or somebody by hand, left open to them."""
    try:
        found = path.stat()
    except OSError:
        return
    if os.name != "posix" or not stat.S_ISREG(found.st_mode):
        return
    if not found.st_mode & _OPEN_TO_OTHERS:
        return
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    why = f"it belongs to user {found.st_uid}"
    if found.st_uid == os.geteuid():
        try:
            path.chmod(_OWN)
        except OSError as error:
            why = str(error.strerror or error)
        else:
            log.warning("%s was open to other users (mode %s); it is 0600 now", path, mode)
            return
    log.warning("%s is open to other users (mode %s; %s): chmod 600 it", path, mode, why)
