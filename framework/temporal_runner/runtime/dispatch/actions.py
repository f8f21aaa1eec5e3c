"""Carries an action out against Temporal, so that the same event done twice is done once.

    receive() -> Delivery -> route(event) -> Action -> dispatch() -> ack | nack | reject

What makes each action idempotent: a start and a standalone activity have the Workflow (Activity)
ID, an update has its update ID, and a signal its request ID, within one run of its workflow. Those
two hold the listener, the action and the event: what one does is never taken for what another does.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from google.protobuf.message import DecodeError
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.common import (
    ActivityIDReusePolicy,
    WorkflowIDConflictPolicy,
)
from temporalio.exceptions import ActivityAlreadyStartedError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from temporal_runner.config.routes import SignalDuplicate, StartRoute
from temporal_runner.errors import EventRejected, TransientError
from temporal_runner.events.event import Accepted
from temporal_runner.events.identity import action_key
from temporal_runner.plan.sdk_internals import is_refused
from temporal_runner.routing.actions import (
    Action,
    Signal,
    SignalWithStart,
    Start,
    StartActivity,
    Update,
    UpdateWithStart,
    WorkflowStart,
)
from temporal_runner.runtime.connection.service import request_id
from temporal_runner.runtime.dispatch.sdk_arguments import (
    is_writable,
    priority_of,
    retry_policy,
    workflow_arguments,
)
from temporal_runner.runtime.dispatch.start_requests import starts_of
from temporal_runner.runtime.dispatch.verdicts import Fault, fault_of


async def dispatch(action: Action, client: Client, rpc_timeout: timedelta) -> Accepted:
    """Carry an action out.

    Args:
        action: What to do.
        client: The connection that it belongs to.
        rpc_timeout: How long a call may take.

    Returns:
        What Temporal durably accepted.

    Raises:
        EventRejected: Temporal refuses this event, and would again.
        TransientError: Temporal did not answer, or refuses everything just now.
    """
    try:
        return await _carry_out_once(action, client, rpc_timeout)
    except WorkflowUpdateFailedError as error:
        raise EventRejected(f"{_label(action)} was refused: {error.cause or error}") from error
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        raise TransientError(f"{_label(action)}: no worker accepted the update in time") from error
    except RPCError as error:
        text = f"{_label(action)}: {error.status.name}: {error.message}"
        if fault_of(error, action.kind) is Fault.EVENT:
            raise EventRejected(text + _types_sent(action, error)) from error
        raise TransientError(text) from error
    except (TypeError, ValueError, OverflowError) as error:
        text = f"{_label(action)}: {error}"
        if is_writable(action, client):  # so it was a codec, or an interceptor
            raise TransientError(text) from error
        raise EventRejected(text) from error
    except DecodeError as error:
        raise TransientError(f"{_label(action)}: the answer is none of Temporal's") from error


def _types_sent(action: Action, error: RPCError) -> str:
    """What may be wrong, where search attributes went along: their types are the route's."""
    start: WorkflowStart | None = getattr(action, "start", None)
    attributes = start.search_attributes if start else {}
    if error.status is not RPCStatusCode.INVALID_ARGUMENT or not attributes:
        return ""
    sent = ", ".join(f"{name} as {kind}" for name, (kind, _) in attributes.items())
    return f" (search attributes sent: {sent}; a route declares a type with {{type: …, value: …}})"


def _label(action: Action) -> str:
    return f"{action.kind} {action.name} ({action.id})"


def _key(action: Action) -> str:
    return action_key(action.event, action.listener, action.kind, action.name, action.id)


# One function an action. -------------------------------------------------------------------------


async def _carry_out_once(action: Action, client: Client, rpc_timeout: timedelta) -> Accepted:
    try:
        return await _carry_out(action, client, rpc_timeout)
    except (WorkflowAlreadyStartedError, ActivityAlreadyStartedError) as error:
        return await _already_started(action, client, rpc_timeout, error.run_id)
    except RPCError as error:
        if fault_of(error, action.kind) is not Fault.NOBODY:
            raise
        return await _already_started(action, client, rpc_timeout, None)


async def _carry_out(action: Action, client: Client, rpc_timeout: timedelta) -> Accepted:
    match action:
        case Start():
            return _accepted(action, await starts_of(client).start(action, rpc_timeout))
        case Signal():
            return await _signal(action, client, rpc_timeout)
        case SignalWithStart():
            return await _signal_with_start(action, client, rpc_timeout)
        case Update():
            return await _update(action, client, rpc_timeout)
        case UpdateWithStart():
            return await _update_with_start(action, client, rpc_timeout)
        case StartActivity():
            return await _start_activity(action, client, rpc_timeout)


async def _signal(action: Signal, client: Client, rpc_timeout: timedelta) -> Accepted:
    handle = client.get_workflow_handle(action.id)
    with request_id(_key(action)):
        await handle.signal(action.name, args=action.args, rpc_timeout=rpc_timeout)
    return _accepted(action, None)


async def _signal_with_start(
    action: SignalWithStart, client: Client, rpc_timeout: timedelta
) -> Accepted:
    with request_id(_key(action)):
        handle = await client.start_workflow(
            **workflow_arguments(action),
            start_signal=action.name,
            start_signal_args=action.args,
            rpc_timeout=rpc_timeout,
        )
    return _accepted(action, handle.first_execution_run_id)


async def _update(action: Update, client: Client, rpc_timeout: timedelta) -> Accepted:
    handle = await client.get_workflow_handle(action.id).start_update(
        action.name,
        args=action.args,
        id=_key(action),
        wait_for_stage=WorkflowUpdateStage.ACCEPTED,
        rpc_timeout=rpc_timeout,
    )
    await _raise_if_refused(handle)
    return await _with_result(action, handle)


async def _update_with_start(
    action: UpdateWithStart, client: Client, rpc_timeout: timedelta
) -> Accepted:
    start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        **workflow_arguments(action),
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    try:
        handle = await client.start_update_with_start_workflow(
            action.name,
            args=action.args,
            id=_key(action),
            start_workflow_operation=start,
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            rpc_timeout=rpc_timeout,
        )
    except (RPCError, WorkflowAlreadyStartedError, WorkflowUpdateRPCTimeoutOrCancelledError):
        with suppress(Exception):
            await start.workflow_handle()  # asyncio logs what nobody looks at
        raise
    await _raise_if_refused(handle)
    return await _with_result(action, handle)


async def _start_activity(
    action: StartActivity, client: Client, rpc_timeout: timedelta
) -> Accepted:
    settings = action.settings
    handle = await client.start_activity(
        action.name,
        args=action.args,
        id=action.id,
        task_queue=settings.task_queue,
        schedule_to_close_timeout=settings.schedule_to_close_timeout,
        schedule_to_start_timeout=settings.schedule_to_start_timeout,
        start_to_close_timeout=settings.start_to_close_timeout,
        heartbeat_timeout=settings.heartbeat_timeout,
        start_delay=settings.start_delay,
        id_reuse_policy=ActivityIDReusePolicy.REJECT_DUPLICATE,
        retry_policy=retry_policy(settings.retry_policy),
        priority=priority_of(settings.priority, action.fairness_key),
        rpc_timeout=rpc_timeout,
    )
    return _accepted(action, handle.run_id)


async def _already_started(
    action: Action, client: Client, rpc_timeout: timedelta, run_id: str | None
) -> Accepted:
    """A workflow or activity of that ID is there: what the route says of duplicates."""
    match action:
        case Start() | StartActivity() if action.settings.on_duplicate == "fail":
            raise EventRejected(f"{_label(action)}: there is one of that ID already")
        case Start(settings=StartRoute(on_duplicate=SignalDuplicate(signal=signal))):
            await _signal_duplicate(action, signal, client, rpc_timeout)
        case SignalWithStart() | UpdateWithStart():  # the workflow is there, the signal is not
            policy = action.start.options.settings.id_reuse_policy
            raise EventRejected(
                f"{_label(action)}: the workflow of that ID is closed, and the route's"
                f" id_reuse_policy ({policy}) starts no other"
            )
    return Accepted(action=action.kind, workflow_id=action.id, run_id=run_id, duplicate=True)


async def _signal_duplicate(
    action: Start, signal: str, client: Client, rpc_timeout: timedelta
) -> None:
    handle = client.get_workflow_handle(action.id)
    try:
        key = action_key(action.event, action.listener, "on_duplicate", signal, action.id)
        with request_id(key):
            await handle.signal(signal, args=action.duplicate_args, rpc_timeout=rpc_timeout)
    except RPCError as error:
        text = f"signal {signal} ({action.id}): {error.status.name}: {error.message}"
        is_event = fault_of(error, Signal.kind) is Fault.EVENT
        raise (EventRejected if is_event else TransientError)(text) from error


async def _raise_if_refused(handle: WorkflowUpdateHandle[Any]) -> None:
    """Raise what the workflow's validator said."""
    if is_refused(handle):
        await handle.result()


async def _with_result(
    action: Update | UpdateWithStart, handle: WorkflowUpdateHandle[Any]
) -> Accepted:
    """What was accepted, with its result where the route waits for it and it comes in time."""
    accepted = _accepted(action, handle.workflow_run_id)
    if action.wait_for_result is None:
        return accepted
    try:
        async with asyncio.timeout(action.wait_for_result.total_seconds()):
            return replace(accepted, completed=True, result=await handle.result())
    except WorkflowUpdateFailedError:
        raise
    except Exception:  # no answer in time, or one that a codec or the converter cannot read
        return accepted  # it is durably in Temporal all the same


def _accepted(action: Action, run_id: str | None) -> Accepted:
    return Accepted(action=action.kind, workflow_id=action.id, run_id=run_id)
