"""The workflow that every event of the fault suite starts: it leaves a note, once."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow


@activity.defn
def note(event: str) -> None:
    """Appends the event and the run that works for it to the file of notes."""
    line = f"{event} {activity.info().workflow_run_id}\n"
    with open(os.environ["FAULTS_NOTES"], "a", encoding="utf-8") as notes:  # noqa: PTH123
        notes.write(line)


@workflow.defn
class Noted:
    """Leaves a note within its first task, by a local activity: the server has little to do."""

    @workflow.run
    async def run(self, event: str) -> str:
        await workflow.execute_local_activity(
            note, event, start_to_close_timeout=timedelta(seconds=10)
        )
        return event


@workflow.defn
class NotedLater:
    """Leaves its note by an activity of its own task, as most workflows do."""

    @workflow.run
    async def run(self, event: str) -> str:
        await workflow.execute_activity(note, event, start_to_close_timeout=timedelta(seconds=10))
        return event


@workflow.defn
class Account:
    """Gets many events by signals, until it is closed."""

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._closed = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self._closed)

    @workflow.signal
    def add(self, event: str) -> None:
        self._events.append(event)

    @workflow.signal
    def close(self) -> None:
        self._closed = True

    @workflow.query
    def events(self) -> list[str]:
        """Every event that it was told of, as often as it was."""
        return self._events
