"""The SDK's two workflow runners, which also tell of tasks that fail beyond the workflow's code."""

from __future__ import annotations

from typing import Any

from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from temporal_runner.plan.sdk_internals import eviction_of
from temporal_runner.runtime.connection.failed_tasks import FAILED_TASKS

_REPORTED_BY_CORE = "FATAL"
_REPORTED_HERE = frozenset(["NONDETERMINISM", "PAGINATION_OR_HISTORY_FETCH"])


class WatchedSandboxRunner(SandboxedWorkflowRunner):
    """Runs workflows in the sandbox."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """A workflow's instance, watched."""
        return _watched(super().create_instance(det))


class WatchedRunner(UnsandboxedWorkflowRunner):
    """Runs workflows without a sandbox."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """A workflow's instance, watched."""
        return _watched(super().create_instance(det))


def _watched(instance: WorkflowInstance) -> WorkflowInstance:
    activate = instance.activate

    def watching(activation: Any) -> Any:
        if evicted := eviction_of(activation):
            reason, message = evicted
            info = instance.get_info()
            workflow = f"{info.workflow_type} (ID {info.workflow_id}, run {info.run_id})"
            if reason == _REPORTED_BY_CORE:
                FAILED_TASKS.failed(info.run_id, workflow)
            elif reason in _REPORTED_HERE:
                FAILED_TASKS.failed(info.run_id, workflow, message)
        return activate(activation)

    # Not an object around it: the SDK may ask an instance for more than its class promises.
    instance.activate = watching  # type: ignore[method-assign, assignment]
    return instance
