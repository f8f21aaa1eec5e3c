"""Workers from configuration, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    PollerBehaviorSimpleMaximum,
    UnsandboxedWorkflowRunner,
)

from temporal_runner.config.load import load
from temporal_runner.config.workers import WorkerSettings
from temporal_runner.plan import Plan, make_plan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.runtime.connection.profile import load_profile
from temporal_runner.runtime.connection.temporal import TemporalConnection
from temporal_runner.runtime.supervisor import Component, Supervisor
from temporal_runner.runtime.workers.component import WorkerComponent
from temporal_runner.runtime.workers.sdk_arguments import worker_arguments
from tests.conftest import WriteConfig
from tests.real import extensions
from tests.support import TemporalServer, eventually, run_runner

MakePlan = Callable[..., Plan]


@pytest.fixture
def queue() -> str:
    """A task queue of the test's own."""
    return f"workers-{uuid4().hex[:8]}"


@pytest.fixture
def plan_of(temporal_server: TemporalServer, write_config: WriteConfig, queue: str) -> MakePlan:
    """A plan with one worker, its other options as given."""

    def make(options: str, rest: str = "") -> Plan:
        lines = "".join(f"\n    {line}" for line in options.strip().splitlines())
        text = (
            f"import_paths: [{Path(__file__).parents[2]}]\n"
            f"temporal:\n  address: {temporal_server.address}\n{rest}\n"
            f"workers:\n  one:\n    task_queue: {queue}{lines}\n"
        )
        return make_plan(load(write_config(text)), Catalog.installed())

    return make


@asynccontextmanager
async def running(plan: Plan) -> AsyncIterator[Supervisor]:
    """The plan's connections and workers, ready; drained at the end."""
    supervisor = Supervisor(plan)
    parts: list[Component] = [*supervisor.connections, *supervisor.workers]
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:

        async def ready() -> bool:
            for task in tasks:
                if task.done():
                    await task
            return supervisor.ready

        await eventually(ready)
        yield supervisor
    finally:
        for task in reversed(tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def run_echo(client: Client, queue: str, value: Any = "hello") -> Any:
    """Run the Echo workflow."""
    return await client.execute_workflow(
        "Echo",
        value,
        id=f"echo-{uuid4().hex}",
        task_queue=queue,
        execution_timeout=timedelta(seconds=20),
    )


EVERY_OPTION = """
workflows: [tests.real.flows]
activities: [tests.real.flows, tests.real.extensions:Counter]
identity: my-own-name
max_concurrent_workflow_tasks: 10
max_concurrent_activities: 11
max_concurrent_local_activities: 12
workflow_task_poller_behavior: {type: autoscaling, minimum: 1, initial: 2, maximum: 4}
activity_task_poller_behavior: {type: simple_maximum, maximum: 3}
nonsticky_to_sticky_poll_ratio: 0.5
max_cached_workflows: 50
sticky_queue_schedule_to_start_timeout: 5s
max_activities_per_second: 1000
max_task_queue_activities_per_second: 900
disable_eager_activity_execution: true
max_heartbeat_throttle_interval: 20s
default_heartbeat_throttle_interval: 10s
graceful_shutdown_timeout: 3s
passthrough_modules: [some_library]
interceptors: [tests.real.extensions:Shouting]
plugins: [tests.real.extensions:make_plugin]
activity_executor: {factory: tests.real.extensions:make_executor}
workflow_failure_exception_types: [tests.real.extensions:ExpectedError]
debug_mode: true
"""


async def test_every_option_reaches_the_worker_and_it_works(
    plan_of: MakePlan, client: Client, queue: str
) -> None:
    """A worker with all of its options set runs a workflow, through its interceptor."""
    plan = plan_of(EVERY_OPTION)
    assert plan.workers[0].make_executor is not None
    arguments = worker_arguments(plan.workers[0], plan.workers[0].make_executor())
    assert arguments["max_concurrent_activities"] == 11
    assert arguments["workflow_task_poller_behavior"] == PollerBehaviorAutoscaling(1, 4, 2)
    assert arguments["activity_task_poller_behavior"] == PollerBehaviorSimpleMaximum(3)
    assert arguments["graceful_shutdown_timeout"] == timedelta(seconds=3)
    assert arguments["workflow_failure_exception_types"] == [extensions.ExpectedError]
    assert "some_library" in arguments["workflow_runner"].restrictions.passthrough_modules
    async with running(plan) as supervisor:
        assert supervisor.workers[0].identity == "my-own-name"
        assert await run_echo(client, queue) == "HELLO"


def test_every_option_is_tried(plan_of: MakePlan) -> None:
    """The list above misses no option (but for those that exclude others)."""
    missing = {name for name in WorkerSettings.model_fields if f"{name}:" not in EVERY_OPTION}
    assert missing == {
        "task_queue",
        "connection",
        "processes",
        "tuner",
        "deployment",
        "sandbox",
        "no_remote_activities",
    }


async def test_defaults_are_what_the_reference_says(
    plan_of: MakePlan, client: Client, queue: str
) -> None:
    """30 s of grace, a thread pool for plain functions, the SDK's own numbers elsewhere."""
    plan = plan_of("workflows: [tests.real.flows:Echo]\nactivities: [tests.real.flows:echo]")
    arguments = worker_arguments(plan.workers[0], extensions.make_executor())
    assert arguments["graceful_shutdown_timeout"] == timedelta(seconds=30)
    assert "max_concurrent_activities" not in arguments
    async with running(plan):
        assert await run_echo(client, queue, {"deep": [1, 2.5, None]}) == {"deep": [1, 2.5, None]}


async def test_a_tuner_and_no_sandbox(plan_of: MakePlan, client: Client, queue: str) -> None:
    """Slots by the machine's load."""
    plan = plan_of(
        "workflows: [tests.real.flows:Echo]\nactivities: [tests.real.flows:echo]\nsandbox: false\n"
        "tuner: {target_memory_usage: 0.9, target_cpu_usage: 1.0,"
        " activity: {minimum_slots: 2, maximum_slots: 20, ramp_throttle: 10ms}}"
    )
    arguments = worker_arguments(plan.workers[0], extensions.make_executor())
    assert isinstance(arguments["workflow_runner"], UnsandboxedWorkflowRunner)
    async with running(plan):
        assert await run_echo(client, queue) == "hello"


async def test_a_versioned_worker(plan_of: MakePlan, queue: str) -> None:
    """A deployment's version polls, and is seen."""
    plan = plan_of(
        "workflows: [tests.real.flows:Echo]\nactivities: [tests.real.flows:echo]\n"
        f"deployment: {{name: {queue}, build_id: v1, default_versioning_behavior: pinned}}"
    )
    async with running(plan) as supervisor:
        assert supervisor.ready


FEW = [
    "workflow_task_poller_behavior: {maximum: 3}\nactivity_task_poller_behavior: {minimum: 7}",
    "workflow_task_poller_behavior: {type: simple_maximum, maximum: 1}\nmax_cached_workflows: 0",
    "max_concurrent_workflow_tasks: 1\nmax_cached_workflows: 0",
    "max_concurrent_workflow_tasks: 2",
]


@pytest.mark.parametrize("options", FEW)
async def test_few_pollers_and_slots(
    options: str, plan_of: MakePlan, client: Client, queue: str
) -> None:
    """What the config takes the SDK takes too, and the worker works with it."""
    worker = "workflows: [tests.real.flows:Echo]\nactivities: [tests.real.flows:echo]\n"
    async with running(plan_of(worker + options)):
        assert await run_echo(client, queue) == "hello"


async def test_activities_alone(plan_of: MakePlan, queue: str) -> None:
    """A worker without workflows is ready when its activity poller is seen."""
    alone = "activities: [tests.real.flows:work]\nmax_concurrent_workflow_tasks: 1"
    async with running(plan_of(alone)) as supervisor:
        assert supervisor.workers[0].ready


async def test_client_extensions(plan_of: MakePlan, write_config: WriteConfig, queue: str) -> None:
    """A connection's data converter, interceptors and plugins are used."""
    plan = plan_of(
        "workflows: [tests.real.flows:Echo]\nactivities: [tests.real.flows:echo]",
        "  data_converter: tests.real.extensions:make_converter\n"
        "  interceptors: [tests.real.extensions:Watching]\n"
        "  plugins: [tests.real.extensions:make_plugin]\n"
        "  identity: someone",
    )
    async with running(plan) as supervisor:
        client = supervisor.connections[0].client
        assert client.identity == "someone"
        before = len(extensions.seen)
        assert await run_echo(client, queue) == "hello"
        assert len(extensions.seen) == before + 1


async def test_a_second_connection(plan_of: MakePlan, client: Client, queue: str) -> None:
    """A worker on a connection of its own, which inherits the address."""
    plan = plan_of(
        "workflows: [tests.real.flows:Echo]\nactivities: [tests.real.flows:echo]\n"
        "connection: other",
        "connections: {other: {identity: from-other}}",
    )
    async with running(plan) as supervisor:
        assert {one.name for one in supervisor.connections} == {"temporal", "other"}
        assert supervisor.connections[1].client.identity == "from-other"
        assert await run_echo(client, queue) == "hello"


async def test_a_worker_that_failed_runs_anew_with_a_client_of_its_own(
    plan_of: MakePlan, client: Client, queue: str
) -> None:
    """The supervisor's promise, at its smallest: `run` again after an end works."""
    plan = plan_of("workflows: [tests.real.flows:Echo]\nactivities: [tests.real.flows:echo]")
    worker = WorkerComponent(plan.workers[0], TemporalConnection(plan.connections[""]))

    async def run_once() -> None:
        task = asyncio.create_task(worker.run())
        try:
            await eventually(lambda: asyncio.sleep(0, worker.ready or task.done()))
            assert worker.ready
            assert await run_echo(client, queue) == "hello"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert not worker.ready

    connecting = asyncio.create_task(worker.connection.run())
    try:
        await run_once()
        await run_once()
    finally:
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)


async def test_a_worker_that_does_not_poll_is_not_ready(plan_of: MakePlan) -> None:
    """It runs, and the server does not see it: ready would be a lie."""
    plan = plan_of("activities: [tests.real.flows]\nplugins: [tests.real.extensions:Idle]")
    connection = TemporalConnection(plan.connections[""])
    worker = WorkerComponent(plan.workers[0], connection)
    tasks = [asyncio.create_task(connection.run()), asyncio.create_task(worker.run())]
    try:

        async def looked() -> bool:
            return worker.error != "not started yet"

        await eventually(looked)
        assert worker.error == "the server does not see its poller yet"
        assert not worker.ready
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)


def test_a_workflow_that_the_sandbox_refuses_ends_at_once(
    temporal_server: TemporalServer, write_config: WriteConfig
) -> None:
    """Exit 1 with the workflow, the cause and a next step; not ten restarts."""
    config = write_config(f"""
        import_paths: [{Path(__file__).parents[2]}]
        temporal: {{address: "{temporal_server.address}"}}
        workers:
          careless: {{task_queue: q, workflows: [tests.real.careless:Careless]}}
    """)
    code, output = run_runner("start", config)
    assert code == 1
    assert "worker careless: Failed validating workflow Careless" in output
    assert "datetime.datetime.now" in output
    assert "next step: " in output
    assert "Traceback" not in output


async def test_what_the_sdk_would_drop_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Settings that other SDKs read and Python's ignores are named in a warning."""
    monkeypatch.setenv("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "true")
    monkeypatch.setenv("TEMPORAL_CODEC_ENDPOINT", "http://127.0.0.1:1")
    load_profile(None, None, ignore_env=False)
    assert "TEMPORAL_CODEC_ENDPOINT is set" in caplog.text
    assert "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION is set" in caplog.text
