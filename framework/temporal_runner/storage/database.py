"""One SQLite file written by one thread, many writes a commit: what `run` returned from is on disk.

A commit waits for the disk (fsync) for milliseconds, whatever it covers. So the thread takes all
the work that waits, does it in one transaction, and answers each caller once that is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from temporal_runner.errors import PermanentError, TransientError

log = logging.getLogger("temporal_runner.storage")

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
_MOST_A_COMMIT = 500
"""Pieces of work in one transaction: more of them gain little, and the first would wait long."""
_LOCK_TIMEOUT = 5.0
"""Seconds to wait for another process that writes the same file."""
_WAL_LIMIT = 64 * 1024**2
"""Bytes of the write-ahead log that are left on disk after a checkpoint."""


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work[Any]
    answer: asyncio.Future[Any]


class Database:
    """A file of tables, open for as long as a runner or a command needs it."""

    def __init__(
        self,
        what: str,
        file: Path | None,
        tables: str,
        version: int,
        *,
        next_step: str = "give it a path on a local disk that this user can write to",
        make_folders: bool = True,
        exclusive: bool = False,
    ) -> None:
        """Touch nothing yet.

        Args:
            what: What it is, for errors: "the inbox".
            file: Where it is; made where it is missing. None is in memory.
            tables: SQL that makes the tables where they are missing.
            version: Of the tables. A file of a higher one is refused.
            next_step: What to do where it cannot be made or opened.
            make_folders: Make its folders too, where they are missing.
            exclusive: No other process may have it open.
        """
        self._label = f"{what} {file}" if file else what
        self._next_step = next_step
        self._make_folders = make_folders
        self._file = file
        self._tables = tables
        self._version = version
        self._exclusive = exclusive
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_open(self) -> bool:
        """Between `open` and `close`."""
        return self._thread is not None

    async def open(self) -> None:
        """Open the file.

        Raises:
            TransientError: Another process has it, or the disk is full.
            PermanentError: It cannot be made, or is something else.
        """
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, args=(opened,), daemon=True)
        self._thread.start()
        try:
            await opened
        except BaseException:
            self._thread = None
            raise

    async def run(self, work: Work[T]) -> T:
        """Do work on the connection, within a transaction that others share.

        Args:
            work: Gets the connection, in the thread; it leaves `commit` and `rollback` alone.

        Returns:
            What the work returned, once all that it wrote is on disk.

        Raises:
            TransientError: SQLite refused it or another's work in the transaction; nothing of
                it was done.
        """
        assert self._loop is not None
        if self._thread is None:
            raise TransientError(f"{self._label} is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(work, answer))
        return await answer

    async def close(self) -> None:
        """Finish what waits, and close the file."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)

    # In the thread.

    def _serve(self, opened: asyncio.Future[None]) -> None:
        try:
            connection = self._connect()
        except BaseException as error:
            self._tell([(opened, error)])
            return
        self._tell([(opened, None)])
        try:
            while jobs := self._take():
                self._tell(self._commit(connection, jobs))
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        if self._file:
            self._make_file(self._file)
        connection = sqlite3.connect(
            self._file or ":memory:", timeout=_LOCK_TIMEOUT, isolation_level=None
        )
        try:
            if self._exclusive:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
            self._make_tables(connection)
        except sqlite3.Error as error:
            connection.close()
            raise self._opening(error) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_file(self, file: Path) -> None:
        try:
            if self._make_folders:
                file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)  # events are nobody else's business
        except OSError as error:
            message = f"{self._label} cannot be made: {error.strerror or error}"
            raise PermanentError(message, next_step=self._next_step) from error

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > self._version:
            raise PermanentError(
                f"{self._label} was written by a newer temporal-runner (tables {found})",
                next_step="start that version, or give another path",
            )
        connection.executescript(
            f"BEGIN IMMEDIATE; {self._tables}; PRAGMA user_version = {self._version}; COMMIT"
        )

    def _opening(self, error: sqlite3.Error) -> Exception:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return TransientError(f"{self._label} is in use by another process")
        if name.startswith("SQLITE_FULL"):
            return TransientError(f"{self._label}: {error}")
        return PermanentError(f"{self._label} cannot be opened: {error}", next_step=self._next_step)

    def _take(self) -> list[_Job]:
        """Wait for work, and take all there is; an empty list is the end."""
        first = self._jobs.get()
        if first is None:
            return []
        jobs = [first]
        while len(jobs) < _MOST_A_COMMIT:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            jobs.append(job)
        return jobs

    def _commit(
        self, connection: sqlite3.Connection, jobs: list[_Job]
    ) -> list[tuple[asyncio.Future[Any], Any]]:
        try:
            connection.execute("BEGIN IMMEDIATE")
            done = [(job.answer, job.work(connection)) for job in jobs]
            connection.execute("COMMIT")
        except Exception as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure: Exception = error
            if isinstance(error, sqlite3.Error):
                failure = TransientError(f"{self._label}: {error}")
            return [(job.answer, failure) for job in jobs]
        return done

    def _tell(self, outcomes: list[tuple[asyncio.Future[Any], Any]]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_answer, outcomes)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("%s: nobody waits for an answer", self._label)


def _answer(outcomes: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in outcomes:
        if future.done():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def writable(text: str) -> str:
    """A text that SQLite takes: in UTF-8, while JSON may hold halves of characters."""
    return text.encode("utf-8", "backslashreplace").decode()
