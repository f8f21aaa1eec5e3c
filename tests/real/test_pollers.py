"""Workers after an outage, and workers that the server does not see: built anew, or let be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from temporal_runner.config.load import load
from temporal_runner.plan import Plan, make_plan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.runtime.supervisor import Supervisor
from temporal_runner.runtime.workers import component, pollers
from temporal_runner.runtime.workers.component import RunningWorker, WorkerComponent
from tests.conftest import WriteConfig
from tests.support import TemporalServer, eventually

CONFIG = """
import_paths: [{root}]
temporal: {{address: "{address}"}}
restart: {{base_delay: 100ms}}
workers:
  one: {{task_queue: {queue}, graceful_shutdown_timeout: 100ms, {worker}}}
"""
MakePlan = Callable[..., Plan]


@pytest.fixture
def plan_of(write_config: WriteConfig) -> MakePlan:
    """A plan with one worker."""

    def make(server: TemporalServer, queue: str, worker: str) -> Plan:
        text = CONFIG.format(
            root=Path(__file__).parents[2], address=server.address, queue=queue, worker=worker
        )
        return make_plan(load(write_config(text)), Catalog.installed())

    return make


@asynccontextmanager
async def connected(plan: Plan) -> AsyncIterator[WorkerComponent]:
    """The plan's worker on a connection that runs; the worker does not run yet."""
    supervisor = Supervisor(plan)
    connecting = asyncio.create_task(supervisor.connections[0].run())
    try:
        yield supervisor.workers[0]
    finally:
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)


@asynccontextmanager
async def working(worker: WorkerComponent) -> AsyncIterator[asyncio.Task[None]]:
    """The worker runs, and is drained at the end."""
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=5)  # one that never polls never ends


async def is_ready(worker: WorkerComponent) -> None:
    """Wait until it is."""
    await eventually(lambda: asyncio.sleep(0, worker.ready), what="the worker to be ready")


async def outage(server: TemporalServer, worker: WorkerComponent) -> None:
    """Kill the server, and start it when the outage has lasted for longer than a short one."""
    server.kill()
    await eventually(lambda: asyncio.sleep(0, not worker.ready), what="the outage to be seen")
    await asyncio.sleep(1.5)  # the length of the outage is what this is about
    server.start()
    await is_ready(worker)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[RunningWorker]:
    """Every SDK worker that is built, in its order."""
    built: list[RunningWorker] = []

    class Noted(RunningWorker):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            built.append(self)

    monkeypatch.setattr(component, "RunningWorker", Noted)
    return built


async def test_after_an_outage_a_new_worker_polls_with_the_connections_new_client(
    own_temporal_server: TemporalServer, plan_of: MakePlan, built: list[RunningWorker]
) -> None:
    """The SDK's own polls would wait for up to 10 s; the old worker ends by itself."""
    own_temporal_server.start()
    own_temporal_server.wait_serving()
    queue = f"outage-{uuid4().hex[:8]}"
    plan = plan_of(
        own_temporal_server,
        queue,
        "workflows: [tests.real.flows:Echo], activities: [tests.real.flows:echo]",
    )
    async with connected(plan) as worker, working(worker):
        await is_ready(worker)
        await outage(own_temporal_server, worker)
        before, now = built
        assert now.client is worker.connection.client
        assert now.client is not before.client
        await eventually(lambda: asyncio.sleep(0, before.running.done()), what="the old to end")
        client = await Client.connect(own_temporal_server.address)
        assert await client.execute_workflow("Echo", "hi", id=queue, task_queue=queue) == "hi"


async def test_an_activity_in_hand_is_not_cancelled_for_an_outage(
    own_temporal_server: TemporalServer,
    plan_of: MakePlan,
    built: list[RunningWorker],
    tmp_path: Path,
) -> None:
    """A worker with work in hand keeps its place until the work is done; then it is replaced."""
    own_temporal_server.start()
    own_temporal_server.wait_serving()
    queue = f"in-hand-{uuid4().hex[:8]}"
    plan = plan_of(
        own_temporal_server,
        queue,
        "workflows: [tests.real.flows:Held], activities: [tests.real.flows:hold]",
    )
    done = tmp_path / "done"
    async with connected(plan) as worker, working(worker):
        await is_ready(worker)
        client = await Client.connect(own_temporal_server.address)
        held = await client.start_workflow("Held", str(done), id=queue, task_queue=queue)
        await eventually(lambda: asyncio.sleep(0, built[0].activities == 1))
        await outage(own_temporal_server, worker)
        assert len(built) == 1
        done.touch()
        await eventually(lambda: asyncio.sleep(0, len(built) == 2), what="the worker's successor")
        assert await held.result() == "finished"


async def test_a_worker_that_the_server_does_not_see_is_built_anew(
    temporal_server: TemporalServer, plan_of: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs and polls not: `run` ends with the reason, for the supervisor to run it again."""
    monkeypatch.setattr(component, "_GIVEN_UP_AFTER", 0.5)
    queue = f"unseen-{uuid4().hex[:8]}"
    worker_section = "activities: [tests.real.flows], plugins: [tests.real.extensions:Idle]"
    async with (
        connected(plan_of(temporal_server, queue, worker_section)) as worker,
        working(worker) as task,
    ):
        await asyncio.wait({task}, timeout=20)
        assert task.done()
        with pytest.raises(Exception, match=r"the server has not seen its poller for 500ms"):
            task.result()


async def test_a_worker_whose_places_are_taken_is_well(
    temporal_server: TemporalServer,
    client: Client,
    plan_of: MakePlan,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """It does not poll while it has no room: that is no reason to end what it works on."""
    monkeypatch.setattr(component, "_GIVEN_UP_AFTER", 0.5)
    monkeypatch.setattr(component, "_LOOK_LATER", 0.1)
    monkeypatch.setattr(pollers, "_FRESH", 0.5)
    queue = f"full-{uuid4().hex[:8]}"
    section = "activities: [tests.real.flows:hold], max_concurrent_activities: 1"
    async with (
        connected(plan_of(temporal_server, queue, section)) as worker,
        working(worker) as task,
    ):
        await is_ready(worker)
        done = tmp_path / "done"
        handle = await client.start_activity(
            "hold",
            str(done),
            id=queue,
            task_queue=queue,
            start_to_close_timeout=timedelta(seconds=60),
        )
        sight = worker._pollers
        await eventually(lambda: unseen(sight, client), what="its poller to be unseen")
        await asyncio.wait({task}, timeout=2)
        assert not task.done()
        assert worker.ready
        done.touch()
        assert await handle.result() == "finished"


async def unseen(sight: pollers.PollerSight, client: Client) -> bool:
    return not await sight.look(client)


async def test_an_earlier_workers_poller_is_not_taken_for_its_own(
    temporal_server: TemporalServer, plan_of: MakePlan, built: list[RunningWorker]
) -> None:
    """Another worker of the same identity polled a moment ago; this one does not poll."""
    queue = f"same-{uuid4().hex[:8]}"
    section = "activities: [tests.real.flows], identity: the-same"
    async with connected(plan_of(temporal_server, queue, section)) as earlier, working(earlier):
        await is_ready(earlier)
    section += ", plugins: [tests.real.extensions:Idle]"
    async with connected(plan_of(temporal_server, queue, section)) as worker, working(worker):
        await eventually(lambda: asyncio.sleep(0, worker.error != "not started yet"))
        for _ in range(5):
            assert worker.error == "the server does not see its poller yet"
            await worker._look(built[-1])
