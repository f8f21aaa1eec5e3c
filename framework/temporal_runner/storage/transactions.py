"""Many pieces of work in one transaction, and the answer to each: what a database's thread does."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Outcome = tuple[asyncio.Future[Any], Any]
"""Who waits, and what for: a result, or an exception to raise."""
_MOST_A_COMMIT = 500
"""Pieces of work in one transaction: more of them gain little, and the first would wait long."""
_LONGEST_WAIT = 1.0
"""Seconds after which `take` returns where there is no work: the file wants looking after."""


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work.

    Attributes:
        work: What to do with the connection.
        answer: Who waits for it, in the event loop.
    """

    work: Work[Any]
    answer: asyncio.Future[Any]


Jobs = queue.SimpleQueue[Job | None]
"""What waits to be done; None is the end."""


def take(jobs: Jobs) -> list[Job] | None:
    """All the work there is, none where none comes for a while; None is the end."""
    taken: list[Job] = []
    while len(taken) < _MOST_A_COMMIT:
        try:
            job = jobs.get_nowait() if taken else jobs.get(timeout=_LONGEST_WAIT)
        except queue.Empty:
            break
        if job is None:
            if not taken:
                return None
            jobs.put(None)
            break
        taken.append(job)
    return taken


def done(connection: sqlite3.Connection, jobs: list[Job]) -> list[Outcome]:
    """Do jobs in one transaction; what each returned, once it is on disk."""
    connection.execute("BEGIN IMMEDIATE")
    outcomes = [(job.answer, job.work(connection)) for job in jobs]
    connection.execute("COMMIT")
    return outcomes


def roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction that failed; SQLite may have done so by itself."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        if connection.in_transaction:
            raise


def answer(outcomes: list[Outcome]) -> None:
    """Tell those who wait, in the event loop."""
    for future, outcome in outcomes:
        if future.done():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
