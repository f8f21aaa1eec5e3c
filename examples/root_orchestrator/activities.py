"""What the orchestrator cannot do from within a workflow: update another one, await a result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from temporalio import activity
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError

from chat_session.conversation import Reply

T = TypeVar("T")
_MOST_TOLD = 1000
"""Characters of a reply; all of it stands in the session's history."""
_BEAT = 5.0
"""Seconds between heartbeats."""


@activity.defn
async def send_chat_message(session: str, text: str, message_id: str) -> dict[str, Any]:
    """Send a message to a session, which is started where it does not run.

    Args:
        session: The session's Workflow ID.
        text: The message.
        message_id: The same for each attempt: the session answers a message once.

    Returns:
        The reply's text, and the documents that it is from.
    """
    start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        "ChatSession",
        id=session,
        task_queue="chat-session",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    update = activity.client().execute_update_with_start_workflow(
        "send_message",
        text,
        id=message_id,
        start_workflow_operation=start,
        result_type=Reply,
    )
    try:
        reply = await _beating(update)
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        # A session that has just ended is followed by a new one.
        ended = isinstance(cause, ApplicationError) and cause.type == "SessionEnded"
        message = f"{cause or error}"
        raise ApplicationError(message, type="NotAnswered", non_retryable=not ended) from error
    documents = list(dict.fromkeys(passage.document for passage in reply.passages))
    return {"text": reply.text[:_MOST_TOLD], "documents": documents}


@activity.defn
async def result_of(workflow_id: str) -> dict[str, Any]:
    """Wait for a workflow's result."""
    handle = activity.client().get_workflow_handle(workflow_id, result_type=dict[str, Any])
    try:
        return await _beating(handle.result())
    except WorkflowFailureError as error:
        message = f"{error.cause or error}"
        raise ApplicationError(message, type="ChildFailed", non_retryable=True) from error


async def _beating(work: Awaitable[T]) -> T:
    """Await something, sending heartbeats meanwhile."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(_BEAT)

    task = asyncio.create_task(beat())
    try:
        return await work
    finally:
        task.cancel()
