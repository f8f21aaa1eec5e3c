"""RootOrchestrator: takes every event, starts the child that it is for, and reports by query.

One long-lived workflow, reached by signal-with-start. What it does for an event may be done again
(IDs derive from the event), so that a redelivered event, and a run that takes over from another,
do nothing twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    WorkflowAlreadyStartedError,
)

with workflow.unsafe.imports_passed_through():
    from root_orchestrator.activities import result_of, send_chat_message
    from root_orchestrator.tasks import Carried, Report, Task, task_of

_REMEMBERED = 100
"""Outcomes that the report has."""
_AT_A_TIME = 100
"""Documents, or messages, that are under way; more wait."""
_MOST_CARRIED = 200_000
"""Characters of unfinished events beyond which a run goes on, however long it is."""
_LONG: Any = {
    "start_to_close_timeout": timedelta(days=1),
    "heartbeat_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(maximum_interval=timedelta(seconds=30)),
}


@workflow.defn
class RootOrchestrator:
    """Takes events, starts their children and knows what became of them."""

    @workflow.init
    def __init__(self, carried: Carried | None = None) -> None:
        carried = carried or Carried()
        self._outcomes = {outcome.key: outcome for outcome in carried.outcomes}
        self._forgotten = carried.forgotten
        self._unfinished = {task.key: task for task in carried.unfinished}
        self._work: set[asyncio.Task[None]] = set()
        self._room = {
            kind: asyncio.Semaphore(_AT_A_TIME)
            for kind in ("document", "chat.start", "chat.message", "chat.end")
        }
        self._turn: dict[str, asyncio.Lock] = {}
        for task in carried.unfinished:
            self._begin(task)

    @workflow.run
    async def run(self, carried: Carried | None = None) -> None:
        """Take events for ever, in runs of a bounded length."""
        await workflow.wait_condition(self._can_hand_over)
        workflow.continue_as_new(
            Carried(
                unfinished=list(self._unfinished.values()),
                outcomes=list(self._outcomes.values()),
                forgotten=self._forgotten,
            )
        )

    def _can_hand_over(self) -> bool:
        suggested = workflow.info().is_continue_as_new_suggested()
        return suggested and sum(t.size for t in self._unfinished.values()) <= _MOST_CARRIED

    @workflow.signal
    def take(self, event: dict[str, Any]) -> None:
        """Take an event, in CloudEvents' JSON form."""
        task = task_of(event)
        if task.key in self._outcomes:
            return  # it came again
        self._begin(task)

    @workflow.query
    def report(self) -> Report:
        """What became of the events."""
        return Report(outcomes=list(self._outcomes.values()), forgotten=self._forgotten)

    def _begin(self, task: Task) -> None:
        self._outcomes[task.key] = task.begun()
        if task.kind:
            self._unfinished[task.key] = task
            work = asyncio.create_task(self._finish(task))
            self._work.add(work)
            work.add_done_callback(self._work.discard)
        self._forget_the_oldest()

    def _forget_the_oldest(self) -> None:
        done = [key for key in self._outcomes if key not in self._unfinished]
        for key in done[: max(0, len(done) - _REMEMBERED)]:
            del self._outcomes[key]
            self._forgotten += 1

    async def _finish(self, task: Task) -> None:
        """Do what a task asks for, and note what became of it."""
        assert task.kind is not None
        outcome = self._outcomes[task.key]
        try:
            async with self._room[task.kind]:
                result = await self._do(task)
            failed = bool(result and result.get("status") == "failed")
            reason = result["failure"]["reason"] if result and failed else None
            outcome = replace(
                outcome,
                status="failed" if failed else "completed",
                result=result,
                reason=reason,
            )
        except FailureError as error:
            outcome = replace(outcome, status="failed", reason=_reason(error))
        self._outcomes[task.key] = outcome
        del self._unfinished[task.key]
        self._forget_the_oldest()

    async def _do(self, task: Task) -> dict[str, Any] | None:
        workflow_id = task.workflow_id or ""
        if task.kind == "document":
            return await self._document(workflow_id, task.target)
        # Messages of one session are sent in the order in which they came.
        async with self._turn.setdefault(workflow_id, asyncio.Lock()):
            if task.kind == "chat.message":
                return await workflow.execute_activity(
                    send_chat_message, args=[workflow_id, task.text, task.digest], **_LONG
                )
            if task.kind == "chat.start":
                await self._start_session(workflow_id)
            else:
                await workflow.get_external_workflow_handle(workflow_id).signal("end")
            return None

    async def _document(self, workflow_id: str, url: str | None) -> dict[str, Any]:
        try:
            child = await workflow.start_child_workflow(
                "ProcessDocument",
                url,
                id=workflow_id,
                task_queue="document-processing",
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                # A run that is followed by another does not take its children with it.
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                result_type=dict[str, Any],
            )
        except WorkflowAlreadyStartedError:
            return await workflow.execute_activity(result_of, workflow_id, **_LONG)
        result: dict[str, Any] = await child
        return result

    async def _start_session(self, workflow_id: str) -> None:
        try:
            await workflow.start_child_workflow(
                "ChatSession",
                id=workflow_id,
                task_queue="chat-session",
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            return  # it runs


def _reason(error: FailureError) -> str:
    """What is at the bottom of it."""
    cause: BaseException = error
    while isinstance(cause, ActivityError | ChildWorkflowError) and cause.cause is not None:
        cause = cause.cause
    return cause.message if isinstance(cause, ApplicationError) else str(cause)
