"""Starts a route's workflows at low cost: what all of them have in common is written down once.

The SDK itself writes the first request of a route. Later ones are copies of it, with what is of
their own event: the Workflow ID, the arguments, the memo. So nothing is known here of how a request
is put together; where somebody takes part in that (a codec, a converter, an interceptor, external
storage), the SDK writes every one.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary, proxy

from pydantic_core import to_json
from temporalio.api.common.v1 import Payload
from temporalio.api.errordetails.v1 import WorkflowExecutionAlreadyStartedFailure
from temporalio.api.workflowservice.v1 import (
    StartWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from temporal_runner.config.routes import StartRoute
from temporal_runner.events.event import Event
from temporal_runner.routing.actions import Start, WorkflowOptions
from temporal_runner.runtime.connection.service import start_requests
from temporal_runner.runtime.dispatch.sdk_arguments import trace_of, workflow_arguments

_JSON = b"json/plain"
_JSON_TYPES = frozenset([dict, list, str, int, float, bool])
"""What becomes JSON by the SDK's pydantic converter, whatever is in it."""


class Starts:
    """The starts that one client makes."""

    def __init__(self, client: Client) -> None:
        config = client.config()
        converter = client.data_converter
        self._client: Client = proxy(client)  # whoever has the client keeps this, not this it
        self._patterns: dict[WorkflowOptions, StartWorkflowExecutionRequest] = {}
        self._plain = (
            not config.get("interceptors")
            and not config.get("plugins")
            and converter.payload_codec is None
            and converter.external_storage is None
            and converter.payload_converter_class is PydanticPayloadConverter
        )

    async def start(self, action: Start, rpc_timeout: timedelta) -> str | None:
        """Start an action's workflow, and return the ID of its run.

        Raises:
            WorkflowAlreadyStartedError: There is one of that ID.
            RPCError: Temporal refuses, or does not answer.
        """
        pattern = self._patterns.get(action.start.options)
        if pattern is None:
            return await self._by_sdk(action, rpc_timeout)
        request = StartWorkflowExecutionRequest()
        request.CopyFrom(pattern)
        fill(request, action, self._client)
        try:
            answer = await self._client.workflow_service.start_workflow_execution(
                request, retry=True, timeout=rpc_timeout
            )
        except RPCError as error:
            raise (_already_started(action, error) or error) from None
        return answer.first_execution_run_id or answer.run_id

    async def _by_sdk(self, action: Start, rpc_timeout: timedelta) -> str | None:
        settings = action.settings
        with start_requests() as sent:
            handle = await self._client.start_workflow(
                **workflow_arguments(action),
                id_conflict_policy=WorkflowIDConflictPolicy[settings.id_conflict_policy.upper()],
                request_eager_start=True,
                rpc_timeout=rpc_timeout,
            )
        if sent and self._plain and _varies_only_in_its_own(settings):
            self._patterns[action.start.options] = _pattern(sent[0])
        run_id: str | None = handle.first_execution_run_id
        return run_id


_starts: WeakKeyDictionary[Client, Starts] = WeakKeyDictionary()
"""Of the process, and yet each client's own: it goes with the client, which has no place for it."""


def starts_of(client: Client) -> Starts:
    """The starts of a client, the same object each time."""
    found = _starts.get(client)
    if found is None:
        found = _starts[client] = Starts(client)
    return found


def fill(request: StartWorkflowExecutionRequest, action: Start, client: Client) -> None:
    """Write into a copy of a route's pattern what is of one event."""
    request.workflow_id = action.id
    request.request_id = os.urandom(16).hex()
    for value in action.start.args:
        _write(request.input.payloads.add(), value, action.event, client)
    memo = request.memo.fields
    _write(memo["event"], trace_of(action.event, action.listener), action.event, client)
    for name, value in action.start.memo.items():
        _write(memo[name], value, action.event, client)


def _write(payload: Payload, value: Any, event: Event, client: Client) -> None:
    """Encode a value; one that is just as it came is not encoded anew."""
    if type(value) not in _JSON_TYPES:
        payload.CopyFrom(client.data_converter.payload_converter.to_payloads([value])[0])
        return
    written = event.written
    payload.metadata["encoding"] = _JSON
    payload.data = written.text if written and written.value is value else to_json(value)


def _varies_only_in_its_own(settings: StartRoute) -> bool:
    """Whether `fill` knows all that tells two requests of a route from each other."""
    fair = settings.priority is not None and settings.priority.fairness_key is not None
    return not settings.search_attributes and not fair


def _pattern(request: StartWorkflowExecutionRequest) -> StartWorkflowExecutionRequest:
    """A request less what is of its own event."""
    request.ClearField("workflow_id")
    request.ClearField("request_id")
    request.ClearField("input")
    request.ClearField("memo")
    return request


def _already_started(action: Start, error: RPCError) -> WorkflowAlreadyStartedError | None:
    """What the SDK would raise where there is a workflow of that ID."""
    details = WorkflowExecutionAlreadyStartedFailure()
    if error.status is not RPCStatusCode.ALREADY_EXISTS or not error.grpc_status.details:
        return None
    if not error.grpc_status.details[0].Unpack(details):
        return None
    return WorkflowAlreadyStartedError(action.id, action.name, run_id=details.run_id)
