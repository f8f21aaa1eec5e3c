"""Tells of workflow tasks that fail in a way that no code of the user's sees.

A result that is too large, an attribute that the server does not know: the server refuses what the
task led to, and the task is tried again, for ever. The SDK's core logs the reason, but not of which
workflow; which one loses its place in the cache for it, but not why, is known to what runs it
(`workers/watched_workflows.py`). One follows the other within some milliseconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque

from temporal_runner.plan.sdk_internals import CoreLine, core_line
from temporal_runner.values.line_rate import LineRate
from temporal_runner.values.wording import one_line

log = logging.getLogger("temporal_runner.workers")

_TOGETHER = 2.0
"""Seconds within which a reason and a workflow belong together."""
_REMEMBERED = 5_000
"""Runs whose failures are counted."""
_LONGEST = 500
"""Characters of a reason."""


class FailedTasks(logging.Filter):
    """Joins the core's reasons with the workflows that they are about."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._rate = LineRate()
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._workflows: deque[tuple[float, str, str]] = deque(maxlen=100)
        self._reasons: deque[tuple[float, str]] = deque(maxlen=100)

    def failed(self, run_id: str, workflow: str, reason: str = "") -> None:
        """A workflow's task failed.

        Args:
            run_id: Its run.
            workflow: Its type and ID, for people.
            reason: Why; empty where the core has logged that, or is about to.
        """
        with self._lock:
            self._counts[run_id] = self._counts.get(run_id, 0) + 1
            self._counts.move_to_end(run_id)
            if len(self._counts) > _REMEMBERED:
                self._counts.popitem(last=False)
            self._forget()
            if not reason:
                if not self._reasons:
                    self._workflows.append((time.monotonic(), run_id, workflow))
                    return
                _, reason = self._reasons.popleft()
        self._tell(run_id, workflow, reason)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line of the core's is to be logged as it is."""
        match core_line(record):
            case CoreLine("Failing workflow task", run_id=run_id) if run_id in self._counts:
                return False  # the same again
            case CoreLine("Error while completing workflow activation", error=reason):
                with self._lock:
                    self._forget()
                    if not self._workflows:
                        self._reasons.append((time.monotonic(), reason))
                        return True
                    others = len({run_id for _, run_id, _ in self._workflows}) > 1
                    _, run_id, workflow = self._workflows.popleft()
                self._tell(run_id, workflow, reason, or_another=others)
                return False
        return True

    def _forget(self) -> None:
        """Drop what found nothing that belongs to it."""
        for waiting in (self._workflows, self._reasons):
            while waiting and time.monotonic() - waiting[0][0] > _TOGETHER:
                waiting.popleft()

    def _tell(self, run_id: str, workflow: str, reason: str, *, or_another: bool = False) -> None:
        if self._rate.left_out(run_id, "failed tasks") is None:
            return
        count = self._counts.get(run_id, 1)
        log.warning(
            "workflow %s%s: its task failed (attempt %d here) and is tried again: %s",
            workflow,
            ", or another that fails at the moment" if or_another else "",
            count,
            one_line(reason)[:_LONGEST],
        )


FAILED_TASKS = FailedTasks()
"""Of the process, as the SDK's log is: the workers of all connections share it."""
