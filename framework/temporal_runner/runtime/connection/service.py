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

from temporalio.api.workflowservice import v1 as requests
from temporalio.service import WorkflowService

_request_id: ContextVar[str] = ContextVar("temporal_runner_request_id", default="")
_start_requests: ContextVar[list[requests.StartWorkflowExecutionRequest] | None] = ContextVar(
    "temporal_runner_start_requests", default=None
)


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
        return await super().start_workflow_execution(req, *args, **how)

    async def signal_workflow_execution(
        self, req: requests.SignalWorkflowExecutionRequest, *args: Any, **how: Any
    ) -> requests.SignalWorkflowExecutionResponse:
        """Signal."""
        req.request_id = _request_id.get() or req.request_id
        return await super().signal_workflow_execution(req, *args, **how)

    async def signal_with_start_workflow_execution(
        self, req: requests.SignalWithStartWorkflowExecutionRequest, *args: Any, **how: Any
    ) -> requests.SignalWithStartWorkflowExecutionResponse:
        """Signal with start."""
        req.request_id = _request_id.get() or req.request_id
        return await super().signal_with_start_workflow_execution(req, *args, **how)
