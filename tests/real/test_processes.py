"""A worker with `processes: 2`: each supervised, drained, replaced, and gone with the runner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowHandle

from temporal_runner.config.load import load
from temporal_runner.errors import TransientError
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.runtime.workers import processes
from temporal_runner.runtime.workers.processes import WorkerProcess, processes_of
from tests.conftest import WriteConfig
from tests.support import (
    RunnerProcess,
    TemporalServer,
    eventually,
    free_port,
    http,
    run_runner,
    wait_until,
)

CONFIG = """
    import_paths: [{root}]
    temporal: {{address: "{address}"}}
    restart: {{base_delay: 100ms, max_attempts: 3}}
    workers:
      apart:
        task_queue: {queue}
        workflows: [tests.real.apart]
        activities: [tests.real.apart]
        processes: 2
        graceful_shutdown_timeout: 20s
    admin: {{port: {port}}}
"""

StartRunner = Callable[..., RunnerProcess]


class System:
    """A config with a worker in two processes, and what to ask of the runner that runs it."""

    def __init__(self, write_config: WriteConfig, address: str) -> None:
        self.port, self.queue = free_port(), f"apart-{uuid4().hex[:8]}"
        self.root = Path(__file__).parents[2]
        self.text = CONFIG.format(root=self.root, address=address, queue=self.queue, port=self.port)
        self.config = write_config(self.text)

    def ready(self) -> bool:
        return http("GET", f"http://127.0.0.1:{self.port}/readyz").status == 200

    def parts(self) -> list[dict[str, Any]]:
        """The processes' part of /status."""
        answer = http("GET", f"http://127.0.0.1:{self.port}/status")
        components = answer.json()["components"] if answer.status == 200 else []
        return [part for part in components if part["kind"] == "worker"]

    def pids(self) -> list[int]:
        """The processes, once they are ready."""
        wait_until(self.ready, what="both processes to be ready")
        return [part["pid"] for part in self.parts()]


@pytest.fixture
def system(write_config: WriteConfig, temporal_server: TemporalServer) -> System:
    """A system on the shared server."""
    return System(write_config, temporal_server.address)


def runs(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


async def start(client: Client, system: System, seconds: float) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(
        "Where", seconds, id=f"where-{uuid4().hex}", task_queue=system.queue
    )


async def worked_on_by(handle: WorkflowHandle[Any, Any]) -> int:
    """Wait until a worker has the workflow's activity in hand; its process's ID."""

    async def identity() -> str:
        pending = (await handle.describe()).raw_description.pending_activities
        return pending[0].last_worker_identity if pending and pending[0].state == 2 else ""

    return int((await eventually(identity)).partition("@")[0])


async def identities(client: Client, queue: str) -> set[str]:
    """Who polls a task queue for workflow tasks."""
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )
    return {poller.identity for poller in answer.pollers}


async def test_each_process_polls_under_an_identity_of_its_own(
    system: System, start_runner: StartRunner, client: Client
) -> None:
    """Two processes beside the runner's, both seen by the server, and both get work."""
    runner = start_runner("start", system.config)
    pids = system.pids()
    assert len({runner.pid, *pids}) == 3
    seen = await identities(client, system.queue)
    assert {int(identity.partition("@")[0]) for identity in seen} == set(pids)
    assert {identity.partition("/")[2] for identity in seen} == {"apart/1", "apart/2"}

    async def have_worked() -> bool:
        handles = [await start(client, system, 0.2) for _ in range(10)]
        return {await handle.result() for handle in handles} == set(pids)

    await eventually(have_worked, what="both processes to have worked")
    assert "where-" in runner.output, "what an activity prints is lost"
    assert f"in process {pids[0]}" in runner.output
    assert runner.stop() == 0


async def test_a_process_that_is_killed_is_replaced_and_its_work_goes_on(
    system: System, start_runner: StartRunner, client: Client
) -> None:
    """SIGKILL in the middle of an activity: another process, and the workflow completes."""
    runner = start_runner("start", system.config)
    before = system.pids()
    handle = await start(client, system, 3)
    victim = await worked_on_by(handle)
    os.kill(victim, signal.SIGKILL)

    def replaced() -> bool:
        now = [part["pid"] for part in system.parts()]
        return victim not in now and None not in now and system.ready()

    wait_until(replaced, what="another process")
    by_pid = {part["pid"]: part for part in system.parts()}
    (new,) = by_pid.keys() - set(before)
    (other,) = by_pid.keys() & set(before)
    assert by_pid[new]["restarts"] == 1
    assert "was ended by SIGKILL" in by_pid[new]["last_failure"]["reason"]
    assert by_pid[other]["restarts"] == 0
    assert await handle.result() in {new, other}
    assert runner.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_all_processes(
    system: System, start_runner: StartRunner, client: Client, number: signal.Signals
) -> None:
    """What the processes have in hand is let finish, exit 0, and none is left.

    Ctrl-C is a signal to all of a terminal's processes: only the runner's own counts.
    """
    runner = start_runner("start", system.config, own_group=True)
    pids = system.pids()
    handle = await start(client, system, 3)
    await worked_on_by(handle)
    os.killpg(runner.pid, number)
    assert runner.wait() == 0
    assert not any(runs(pid) for pid in pids)
    assert "failed" not in runner.output
    assert "Traceback" not in runner.output
    events = [event async for event in handle.fetch_history_events()]
    assert any(event.HasField("activity_task_completed_event_attributes") for event in events)


async def test_past_the_deadline_all_processes_end_hard(
    write_config: WriteConfig, system: System, start_runner: StartRunner, client: Client
) -> None:
    """Exit 1 at `shutdown_timeout`, and no process is left behind."""
    short = write_config("extends: config.yaml\nshutdown_timeout: 1s", name="short.yaml")
    runner = start_runner("start", short)
    pids = system.pids()
    await worked_on_by(await start(client, system, 15))
    assert runner.stop(within=10) == 1
    assert "not stopped within shutdown_timeout (1s)" in runner.output
    wait_until(lambda: not any(runs(pid) for pid in pids), within=5, what="none to be left")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")
def test_no_process_outlives_a_runner_that_is_killed(
    system: System, start_runner: StartRunner
) -> None:
    """SIGKILL of the runner: both are gone, also the one whose Python does not get to run."""
    runner = start_runner("start", system.config)
    pids = system.pids()
    os.kill(pids[0], signal.SIGSTOP)
    try:
        runner.signal(signal.SIGKILL)
        wait_until(lambda: not any(runs(pid) for pid in pids), within=5, what="none to be left")
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_process_ends_when_its_runner_is_gone(system: System) -> None:
    """The end of what the runner says is enough, where no kernel tells of the runner's end."""
    first, _ = processes_of(make_plan(load(system.config), Catalog.installed()).workers[0])
    with subprocess.Popen(
        [sys.executable, "-m", "temporal_runner.cli.worker_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as one:
        assert one.stdin is not None
        assert one.stdout is not None
        try:
            pickle.dump(first.assignment, one.stdin)
            one.stdin.flush()
            wait_until(lambda: b'"ready": true' in one.stdout.readline())  # type: ignore[union-attr]
            one.stdin.close()
            assert one.wait(10) == 1
        finally:
            one.kill()


def test_a_process_runs_the_config_that_the_runner_read(
    write_config: WriteConfig, system: System, start_runner: StartRunner
) -> None:
    """A config that has been broken since does not reach the process that replaces another."""
    runner = start_runner("start", system.config)
    victim, _ = system.pids()
    write_config("workers: {apart: {nonsense: true}}")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in {part["pid"] for part in system.parts()})
    assert victim not in system.pids()
    assert runner.stop() == 0


def test_a_wrong_config_starts_no_process(system: System, write_config: WriteConfig) -> None:
    """The runner makes the plan first: exit 2 with the place, as without processes."""
    config = write_config(system.text.replace("tests.real.apart]", "tests.real.apert]"))
    code, output = run_runner("start", config)
    assert code == 2
    assert "config.yaml:8:17  workers.apart.workflows" in output
    code, output = run_runner("start", write_config(system.text.replace(": 2", ": 0")))
    assert code == 2
    assert "workers.apart.processes" in output


def test_what_the_sdk_refuses_ends_the_runner(
    write_config: WriteConfig, temporal_server: TemporalServer
) -> None:
    """Trying again cannot help: exit 1 at once, with the process's own words."""
    config = write_config(f"""
        import_paths: [{Path(__file__).parents[2]}]
        temporal: {{address: "{temporal_server.address}"}}
        workers:
          careless: {{task_queue: q, workflows: [tests.real.careless:Careless], processes: 2}}
    """)
    code, output = run_runner("start", config)
    assert code == 1
    assert "stopped: worker careless/" in output
    assert "Failed validating workflow Careless" in output
    assert "next step: " in output
    assert "Traceback" not in output
    assert "attempt 1 failed" not in output


def test_past_its_restarts_the_runner_ends_and_says_which_process(
    system: System, write_config: WriteConfig
) -> None:
    """Exit 1, the process, how often, and the last error."""
    dying = system.text.replace(
        "processes: 2", "processes: 2\n        plugins: [tests.real.extensions:Dying]"
    )
    code, output = run_runner("start", write_config(dying), env={"DEATHS": "2"})
    assert code == 1
    assert "gave up after 3 attempts; the last error: the worker could not begin" in output
    assert "stopped: worker apart/" in output
    assert "Traceback" not in output


# One process without a runner around it.


@pytest.fixture
def process(system: System) -> Iterator[WorkerProcess]:
    """The first of a worker's two, under a name of its own choice."""
    text = system.text.replace("processes: 2", "processes: 2\n        identity: me")
    system.config.write_text(text)
    first, _ = processes_of(make_plan(load(system.config), Catalog.installed()).workers[0])
    yield first
    if first.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(first.pid, signal.SIGKILL)


async def ready(process: WorkerProcess) -> int:
    await eventually(lambda: asyncio.sleep(0, process.ready), what="ready")
    assert process.pid is not None
    return process.pid


async def test_an_identity_is_numbered(
    system: System, process: WorkerProcess, client: Client
) -> None:
    """Two workers of one identity could not be told from each other."""
    running = asyncio.create_task(process.run())
    await ready(process)
    assert await identities(client, system.queue) == {"me/1"}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not process.ready


async def test_a_process_that_does_not_report_is_not_ready_and_then_replaced(
    process: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped: not ready. Goes on: ready. Stopped for longer: ended, for another to take over."""
    monkeypatch.setattr(processes, "_SILENT", 2.0)
    monkeypatch.setattr(processes, "_HUNG", 10_000.0)
    running = asyncio.create_task(process.run())
    pid = await ready(process)
    os.kill(pid, signal.SIGSTOP)
    await eventually(lambda: asyncio.sleep(0, not process.ready), what="not ready")
    assert "has not reported for 2" in process.error
    os.kill(pid, signal.SIGCONT)
    assert await ready(process) == pid
    monkeypatch.setattr(processes, "_HUNG", 0.0)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TransientError, match="has not reported"):
        await running
    assert not runs(pid)
