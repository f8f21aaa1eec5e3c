"""The SDK's workflow service as the runner calls it: with our own request IDs.

The SDK draws a random request ID for each signal, so that a signal sent again arrives twice. With
the same ID the server takes it once (measured against server 1.32, within one run). The SDK also
writes start requests that nobody else sees: those of a block are handed to whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from google.protobuf.message import Message
from temporalio.api.workflowservice import v1 as requests
from temporalio.service import RPCError, RPCStatusCode, WorkflowService

_request_id: ContextVar[str] = ContextVar("temporal_runner_request_id", default="")
_start_requests: ContextVar[list[requests.StartWorkflowExecutionRequest] | None] = ContextVar(
    "temporal_runner_start_requests", default=None
)
_MOST_BYTES = 4 * 1024 * 1024
"""What a Temporal server reads of one request."""


class RequestTooLarge(RPCError):
    """A request above what servers read was refused.

    gRPC refuses it with the status of a server that is throttled, and tells the two apart by their
    texts alone; here it is told by the request.
    """


@contextmanager
def request_id(key: str) -> Iterator[None]:
    """Signals that are sent within this block have this request ID."""
    token = _request_id.set(key)
    try:
        yield
    finally:
        _request_id.reset(token)


@contextmanager
def start_requests() -> Iterator[list[requests.StartWorkflowExecutionRequest]]:
    """The list of the start requests that are sent within this block."""
    sent: list[requests.StartWorkflowExecutionRequest] = []
    token = _start_requests.set(sent)
    try:
        yield sent
    finally:
        _start_requests.reset(token)


class RequestIdService(WorkflowService):
    """The workflow service of a client whose signals have request IDs of ours."""

    async def start_workflow_execution(
        self, req: requests.StartWorkflowExecutionRequest, *args: Any, **how: Any
    ) -> requests.StartWorkflowExecutionResponse:
        """Start."""
        sent = _start_requests.get()
        if sent is not None:
            sent.append(req)
        with _sending(req):
            return await super().start_workflow_execution(req, *args, **how)

    async def signal_workflow_execution(
        self, req: requests.SignalWorkflowExecutionRequest, *args: Any, **how: Any
    ) -> requests.SignalWorkflowExecutionResponse:
        """Signal."""
        req.request_id = _request_id.get() or req.request_id
        with _sending(req):
            return await super().signal_workflow_execution(req, *args, **how)

    async def signal_with_start_workflow_execution(
        self, req: requests.SignalWithStartWorkflowExecutionRequest, *args: Any, **how: Any
    ) -> requests.SignalWithStartWorkflowExecutionResponse:
        """Signal with start."""
        req.request_id = _request_id.get() or req.request_id
        with _sending(req):
            return await super().signal_with_start_workflow_execution(req, *args, **how)

    async def update_workflow_execution(
        self, req: requests.UpdateWorkflowExecutionRequest, *args: Any, **how: Any
    ) -> requests.UpdateWorkflowExecutionResponse:
        """Update."""
        with _sending(req):
            return await super().update_workflow_execution(req, *args, **how)

    async def execute_multi_operation(
        self, req: requests.ExecuteMultiOperationRequest, *args: Any, **how: Any
    ) -> requests.ExecuteMultiOperationResponse:
        """Update with start."""
        with _sending(req):
            return await super().execute_multi_operation(req, *args, **how)

    async def start_activity_execution(
        self, req: requests.StartActivityExecutionRequest, *args: Any, **how: Any
    ) -> requests.StartActivityExecutionResponse:
        """Start a standalone activity."""
        with _sending(req):
            return await super().start_activity_execution(req, *args, **how)


@contextmanager
def _sending(request: Message) -> Iterator[None]:
    try:
        yield
    except RPCError as error:
        # Where a server is throttled Temporal says so in a detail.
        throttled = error.status is not RPCStatusCode.RESOURCE_EXHAUSTED or error.raw_grpc_status
        if throttled or request.ByteSize() <= _MOST_BYTES:
            raise
        raise RequestTooLarge(error.message, error.status, error.raw_grpc_status) from None
