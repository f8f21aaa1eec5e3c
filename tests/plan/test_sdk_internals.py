"""What is used of Temporal's SDK without a promise: a test that fails names the SDK's version."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import temporalio
from temporalio import activity, workflow
from temporalio.api.update.v1 import Outcome
from temporalio.client import Client, WorkflowUpdateHandle

from temporal_runner.plan import sdk_internals
from tests.support import ROOT

VERSION = f"temporalio {temporalio.__version__}"


@workflow.defn(name="Named")
class Flow:
    @workflow.run
    async def run(self) -> None: ...


@activity.defn(name="named")
async def work() -> None: ...


def test_definitions_have_names() -> None:
    """What a decorator made of a class or a function can be asked for its type."""
    for holder, maker in ((workflow, "from_class"), (activity, "from_callable")):
        definition = getattr(holder, "_Definition", None)
        name = f"`{holder.__name__}._Definition.{maker}`"
        assert hasattr(definition, maker), f"{VERSION}: {name} is gone"
    assert sdk_internals.workflow_type(Flow) == "Named", f"{VERSION}: another workflow type"
    assert sdk_internals.activity_type(work) == "named", f"{VERSION}: another activity type"
    assert sdk_internals.workflow_type(str) is None, f"{VERSION}: str is a workflow"
    assert sdk_internals.activity_type(print) is None, f"{VERSION}: print is an activity"


def test_a_definition_that_is_anothers_is_told_apart() -> None:
    """A class that inherits a definition, or is a copy of a workflow's, is no workflow."""

    class Child(Flow): ...

    copied = type("Flow", (), dict(vars(Flow)))
    assert sdk_internals.inherits_workflow(Child), f"{VERSION}: inheriting makes a workflow"
    assert not sdk_internals.is_copied_workflow(Child)
    assert not sdk_internals.inherits_workflow(Flow)
    assert sdk_internals.is_copied_workflow(copied), (
        f"{VERSION}: `__temporal_workflow_definition` is gone"
    )


async def test_an_update_knows_that_it_was_refused() -> None:
    """The outcome that came with the answer is kept in the handle."""
    client = await Client.connect("127.0.0.1:1", lazy=True)
    refused = Outcome()
    refused.failure.message = "no"
    for outcome, told in ((None, False), (Outcome(), False), (refused, True)):
        handle: WorkflowUpdateHandle[None] = WorkflowUpdateHandle(
            client, "update", "workflow", known_outcome=outcome
        )
        message = f"{VERSION}: `WorkflowUpdateHandle._known_outcome` is gone"
        assert hasattr(handle, "_known_outcome"), message
        assert sdk_internals.is_refused(handle) is told, f"{VERSION}: another outcome"


async def test_a_client_calls_the_service_that_it_was_given() -> None:
    """The service that writes request IDs into signals is the one that a client's calls go to."""
    client = await Client.connect("127.0.0.1:1", lazy=True)
    service = type(client.workflow_service)(client.service_client)
    sdk_internals.put_workflow_service(client, service)
    assert client.workflow_service is service, f"{VERSION}: a client keeps its own service"


def test_code_is_hashed_ahead() -> None:
    """The function is there, and remembers what it found: else hashing ahead is in vain."""
    from temporalio.worker import _worker

    found = getattr(_worker, "load_default_build_id", None)
    assert found, f"{VERSION}: `temporalio.worker._worker.load_default_build_id` is gone"
    sdk_internals.hash_code()
    assert found() is found(), f"{VERSION}: `load_default_build_id` hashes each time"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted on Linux")
def test_the_runtime_has_as_many_threads_as_it_is_told() -> None:
    """The variable is the SDK's runtime's, which has no option for it."""
    count = """if True:
        import pathlib, sys, time
        from temporalio.runtime import Runtime, TelemetryConfig
        runtime = Runtime(telemetry=TelemetryConfig())
        wanted, until = int(sys.argv[1]), time.monotonic() + 10
        def threads():
            tasks = pathlib.Path("/proc/self/task").iterdir()
            return sum("tokio" in (task / "comm").read_text() for task in tasks)
        while threads() < wanted and time.monotonic() < until:
            time.sleep(0.01)  # they name themselves
        print(threads())
    """
    for wanted in ("1", "3"):
        told = os.environ | {sdk_internals.RUNTIME_THREADS: wanted}
        command = [sys.executable, "-c", count, wanted]
        done = subprocess.run(command, env=told, check=True, capture_output=True, text=True)
        found = done.stdout.strip()
        assert found == wanted, f"{VERSION}: TOKIO_WORKER_THREADS={wanted} makes {found} threads"


# And nowhere else. --------------------------------------------------------------------------------

FILES = sorted((ROOT / "framework").rglob("*.py"))
_OURS = {"self", "cls", "other", "catalog"}
_PUBLIC = {"os._exit", "sys._current_frames"}  # documented, whatever their names


def private_parts(source: str) -> Iterator[str]:
    """What is reached for in others that begins with an underscore."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            text = ast.unparse(node)
            of_ours = isinstance(node.value, ast.Name) and node.value.id in _OURS
            if not node.attr.endswith("__") and not of_ours and text not in _PUBLIC:
                yield text
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            names = [module, *(alias.name for alias in node.names)]
            yield from (
                name
                for name in names
                if name != "__future__" and any(part.startswith("_") for part in name.split("."))
            )


def test_private_parts_are_used_in_one_module() -> None:
    """Who looks for what a new version of a library may break finds it in one place."""
    found = {file.name: parts for file in FILES if (parts := list(private_parts(file.read_text())))}
    assert found.keys() == {"sdk_internals.py"}
