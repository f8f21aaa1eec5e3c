"""One SQLite file written by one thread, many writes a commit: what `run` returned from is on disk.

A commit waits for the disk (fsync) for milliseconds, whatever it covers. So the thread takes all
the work that waits, does it in one transaction, and answers each caller once that is on disk.
Where it cannot go on (the file was removed, a transaction cannot be ended) every caller is told,
now and later, until it is opened again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from temporal_runner.errors import PermanentError, TransientError
from temporal_runner.storage.database_file import NEXT_STEP, DatabaseFile, FileGoneError
from temporal_runner.storage.tables import Tables
from temporal_runner.storage.transactions import (
    Job,
    Jobs,
    Outcome,
    Work,
    answer,
    done,
    roll_back,
    take,
)

log = logging.getLogger("temporal_runner.storage")

T = TypeVar("T")
_LOCK_TIMEOUT = 5.0
"""Seconds to wait for another process that writes the same file."""
_WAL_LIMIT = 64 * 1024**2
"""Bytes of the write-ahead log that are left on disk after a checkpoint."""


class Database:
    """A file of tables, open for as long as a runner or a command needs it.

    Attributes:
        failure: Why it cannot go on until it is opened again; None while it can.
    """

    def __init__(
        self,
        what: str,
        file: Path | None,
        tables: Tables,
        *,
        next_step: str = NEXT_STEP,
        make_folders: bool = True,
        exclusive: bool = False,
    ) -> None:
        """Touch nothing yet.

        Args:
            what: What it is, for errors: "the inbox".
            file: Where it is; made where it is missing. None is in memory.
            tables: What is in it.
            next_step: What to do where it cannot be made or opened.
            make_folders: Make its folders too, where they are missing.
            exclusive: No other process may have it open.
        """
        self.failure: TransientError | None = None
        self._label = f"{what} {file}" if file else what
        self._next_step = next_step
        self._file = (
            DatabaseFile(self._label, file, next_step=next_step, make_folders=make_folders)
            if file
            else None
        )
        self._tables = tables
        self._exclusive = exclusive
        self._jobs: Jobs = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()

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
        jobs: Jobs = queue.SimpleQueue()
        self._jobs, self._ended, self.failure = jobs, asyncio.Event(), None
        arguments = (opened, jobs, self._ended)
        self._thread = threading.Thread(target=self._serve, args=arguments, daemon=True)
        self._thread.start()
        try:
            await opened
        except BaseException:
            self._thread = None
            jobs.put(None)  # nobody waits any more: what it opens all the same is closed at once
            raise

    async def run(self, work: Work[T]) -> T:
        """Do work on the connection, within a transaction that others share.

        Args:
            work: Gets the connection, in the thread; it leaves `commit` and `rollback` alone. It
                may be done a second time, where another's work in the transaction failed.

        Returns:
            What the work returned, once all that it wrote is on disk.

        Raises:
            TransientError: SQLite refused it, or the file is gone; nothing of it was done.
            Exception: What the work itself raised; nothing of it was done.
        """
        assert self._loop is not None
        if self.failure is not None:
            raise TransientError(str(self.failure))
        if self._thread is None:
            raise TransientError(f"{self._label} is closed")
        outcome: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(Job(work, outcome))
        return await outcome

    async def wait_failed(self, within: float) -> None:
        """Wait so many seconds for it to fail.

        Raises:
            TransientError: It failed.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._ended.wait()
        if self.failure is not None:
            raise TransientError(str(self.failure))

    async def close(self) -> None:
        """Finish what waits, and close the file."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await self._ended.wait()

    def _fail(self, failure: TransientError, jobs: Jobs) -> None:
        """Answer all that waits; in the loop's thread, as `run` is, so that none slips between."""
        if jobs is self._jobs:
            self.failure = failure
        while not jobs.empty():
            job = jobs.get_nowait()
            if job is not None:
                answer([(job.answer, TransientError(str(failure)))])

    # In the thread.

    def _serve(
        self,
        opened: asyncio.Future[None],
        jobs: Jobs,
        ended: asyncio.Event,
    ) -> None:
        try:
            self._open_and_work(opened, jobs)
        except BaseException as error:  # whatever it is: nobody waits for this thread in vain
            reason = str(error) if isinstance(error, FileGoneError) else repr(error)
            log.error("%s cannot go on: %s", self._label, error, exc_info=log.isEnabledFor(10))
            failure = TransientError(
                reason if self._label in reason else f"{self._label}: {reason}"
            )
            self._in_loop(self._fail, failure, jobs)
        finally:
            self._in_loop(ended.set)

    def _open_and_work(self, opened: asyncio.Future[None], jobs: Jobs) -> None:
        try:
            connection = self._connect()
        except BaseException as error:
            self._tell([(opened, error)])
            return
        self._tell([(opened, None)])
        try:
            taken: list[Job] | None = []
            while taken is not None:
                taken = take(jobs)
                try:
                    self._commit(connection, taken or [])
                except BaseException as error:
                    self._tell([(job.answer, TransientError(str(error))) for job in taken or []])
                    if self._file and isinstance(error, FileGoneError):
                        self._save(self._file, connection, jobs, error, closing=taken is None)
                    raise
        finally:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        if self._file:
            self._file.make()
        path = self._file.path if self._file else ":memory:"
        connection = sqlite3.connect(path, timeout=_LOCK_TIMEOUT, isolation_level=None)
        try:
            if self._exclusive:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
            self._tables.make(connection, self._label)
            if self._file:
                self._file.take_back(connection, self._tables.take_back)
                self._file.opened()
        except sqlite3.Error as error:
            connection.close()
            raise self._opening(error) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _opening(self, error: sqlite3.Error) -> Exception:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return TransientError(f"{self._label} is in use by another process")
        if name.startswith("SQLITE_FULL"):
            return TransientError(f"{self._label}: {error}")
        return PermanentError(f"{self._label} cannot be opened: {error}", next_step=self._next_step)

    def _commit(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        """Do the jobs in one transaction, and answer them once that is on disk in this file."""
        try:
            outcomes = done(connection, jobs) if jobs else []
        except Exception as error:
            roll_back(connection)
            if len(jobs) > 1 and not isinstance(error, sqlite3.OperationalError):
                for job in jobs:  # one is at fault: the others are not to suffer for it
                    self._commit(connection, [job])
                return
            failure: Exception = error
            if isinstance(error, sqlite3.Error):
                failure = TransientError(f"{self._label}: {error}")
            outcomes = [(job.answer, failure) for job in jobs]
        if self._file:
            self._file.look()
        self._tell(outcomes)

    def _save(
        self,
        file: DatabaseFile,
        connection: sqlite3.Connection,
        jobs: Jobs,
        gone: FileGoneError,
        *,
        closing: bool,
    ) -> None:
        """Save what is in a file that is gone; without room for it, go on trying until closed."""
        said = False
        while True:
            try:
                saved = file.save(connection)
            except (OSError, sqlite3.Error) as error:
                failure = TransientError(f"{gone}, and what was in it cannot be saved: {error}")
            else:
                log.error("%s; what was in it is in %s, until it is opened again", gone, saved)
                return
            if not said:
                said = True
                log.error("%s", failure)
            taken = None if closing else take(jobs)
            if taken is None:
                return
            self._tell([(job.answer, failure) for job in taken])

    def _tell(self, outcomes: list[Outcome]) -> None:
        if outcomes:
            self._in_loop(answer, outcomes)

    def _in_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("%s: nobody waits for an answer", self._label)
