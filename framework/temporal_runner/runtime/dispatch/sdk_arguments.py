"""From a route's settings to the arguments of the SDK's calls: pure, no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from temporalio.client import Client
from temporalio.common import (
    Priority,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)

from temporal_runner.config.fields import SearchAttributeType
from temporal_runner.config.routes import PrioritySettings, RetryPolicySettings
from temporal_runner.events.event import Event
from temporal_runner.routing.actions import Action, SignalWithStart, Start, UpdateWithStart


def workflow_arguments(action: Start | SignalWithStart | UpdateWithStart) -> dict[str, Any]:
    """For `Client.start_workflow` and `WithStartWorkflowOperation`."""
    start = action.start
    options, settings = start.options, start.options.settings
    return {
        "workflow": options.workflow,
        "args": start.args,
        "id": action.id,
        "task_queue": options.task_queue,
        "execution_timeout": settings.execution_timeout,
        "run_timeout": settings.run_timeout,
        "task_timeout": settings.task_timeout,
        "start_delay": settings.start_delay,
        "retry_policy": retry_policy(settings.retry_policy),
        "priority": priority_of(settings.priority, start.fairness_key),
        "memo": {**start.memo, "event": trace_of(action.event, action.listener)},
        "search_attributes": _search_attributes(start.search_attributes),
        "static_summary": settings.static_summary,
        "static_details": settings.static_details,
        "id_reuse_policy": WorkflowIDReusePolicy[settings.id_reuse_policy.upper()],
    }


def trace_of(event: Event, listener: str) -> dict[str, Any]:
    """Where a workflow came from: the memo's entry `event`.

    No data and no extensions: they may hold what is not for everybody who lists workflows.
    """
    attributes = {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time and event.time.isoformat(),
        "listener": listener,
        "traceparent": event.extensions.get("traceparent"),
    }
    return {name: value for name, value in attributes.items() if value is not None}


def is_writable(action: Action, client: Client) -> bool:
    """Whether the converter alone has a form for what an action gives to Temporal."""
    values = [*action.args, trace_of(action.event, action.listener)]
    match action:
        case Start(start=start, duplicate_args=more):
            values += [*start.memo.values(), *more]
        case SignalWithStart(start=start) | UpdateWithStart(start=start):
            values += [*start.memo.values(), *start.args]
    try:
        client.data_converter.payload_converter.to_payloads(values)
    except Exception:
        return False
    return True


def retry_policy(settings: RetryPolicySettings | None) -> RetryPolicy | None:
    """The SDK's form of a retry policy; None leaves it to the server."""
    if settings is None:
        return None
    return RetryPolicy(**settings.model_dump(exclude_unset=True))


def priority_of(settings: PrioritySettings | None, fairness_key: str | None) -> Priority:
    """The SDK's form of a priority, with its fairness key resolved."""
    if settings is None:
        return Priority.default
    return Priority(
        priority_key=settings.priority_key,
        fairness_key=fairness_key,
        fairness_weight=settings.fairness_weight,
    )


_SEARCH_ATTRIBUTE_KEYS: Mapping[SearchAttributeType, Callable[[str], SearchAttributeKey[Any]]] = {
    "Text": SearchAttributeKey.for_text,
    "Keyword": SearchAttributeKey.for_keyword,
    "Int": SearchAttributeKey.for_int,
    "Double": SearchAttributeKey.for_float,
    "Bool": SearchAttributeKey.for_bool,
    "Datetime": SearchAttributeKey.for_datetime,
    "KeywordList": SearchAttributeKey.for_keyword_list,
}


def _search_attributes(
    attributes: Mapping[str, tuple[SearchAttributeType, Any]],
) -> TypedSearchAttributes | None:
    if not attributes:
        return None
    return TypedSearchAttributes(
        [
            SearchAttributePair(_SEARCH_ATTRIBUTE_KEYS[kind](name), value)
            for name, (kind, value) in attributes.items()
        ]
    )
