"""A real runner between Azurite and Temporal: a blob becomes a workflow that has read it."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import pytest
from temporalio.client import Client

from tests.azure.azurite import Azurite
from tests.azure.support import Storage
from tests.conftest import WriteConfig
from tests.support import (
    ROOT,
    RunnerProcess,
    TemporalServer,
    eventually,
    free_port,
    http,
    wait_until,
)

pytestmark = pytest.mark.timeout(200)
"""They start runners, each on a machine that may be busy."""

CONFIG = """
    import_paths: [{root}]
    temporal: {{address: "{address}"}}
    retry: {{base_delay: 100ms, max_delay: 1s}}
    workers:
      azure:
        task_queue: azure-{unique}
        workflows: [tests.azure.flows]
        activities: [tests.azure.flows]
    listeners:
      uploads:
        source: azure
        options:
          connection_string: ${{UPLOADS_CONNECTION_STRING}}
          {options}
        routes:
          - {route}
    admin: {{port: {admin}}}
"""
READ_BLOB = """{start: ReadBlob, args: ["${{ event.data }}"], id: "%s"}"""
StartRunner = Callable[..., RunnerProcess]


class System:
    """A config for one test's queue or container, and the runner that runs it."""

    def __init__(
        self,
        storage: Storage,
        server: TemporalServer,
        write_config: WriteConfig,
        start_runner: StartRunner,
        *,
        options: str,
        route: str,
    ) -> None:
        self.admin_port = free_port()
        self.config = write_config(
            CONFIG.format(
                root=ROOT,
                address=server.address,
                unique=storage.queue_name,
                options=options.format(queue=storage.queue_name, container=storage.container_name),
                route=route,
                admin=self.admin_port,
            ),
            name=f"{self.admin_port}.yaml",
        )
        self._environment = {"UPLOADS_CONNECTION_STRING": storage.connection_string}
        self._start_runner = start_runner

    def start(self) -> RunnerProcess:
        return self._start_runner("start", self.config, env=self._environment)

    def ready(self) -> bool:
        return http("GET", f"http://127.0.0.1:{self.admin_port}/readyz").status == 200


def queue_options(more: str = "") -> str:
    """The options of a queue listener, as the YAML's lines."""
    indent = "\n          "
    lines = ["mode: queue", "queue: {queue}", "poll_min: 20ms", "poll_max: 100ms"]
    return indent.join(lines + more.split("; ") if more else lines)


async def test_a_blob_starts_its_workflow_which_reads_it_and_completes(
    storage: Storage,
    temporal_server: TemporalServer,
    client: Client,
    write_config: WriteConfig,
    start_runner: StartRunner,
) -> None:
    """Put, announced by Event Grid, read: by way of a real queue, runner and Temporal."""
    workflow_id = f"read-{storage.queue_name}"
    system = System(
        storage,
        temporal_server,
        write_config,
        start_runner,
        options=queue_options(),
        route=READ_BLOB % workflow_id,
    )
    runner = system.start()
    wait_until(system.ready, within=60, what="/readyz to answer 200")
    storage.send(storage.put("in/a b+ü%.txt", b"what stands in the blob"))
    wait_until(lambda: storage.count() == 0, what="the message to be deleted")
    result = await client.get_workflow_handle(workflow_id).result()
    assert result == "what stands in the blob"
    assert runner.stop(within=60) == 0
    assert storage.azurite.key not in runner.output


async def test_an_action_of_3_visibility_timeouts_has_its_message_delivered_once(
    storage: Storage,
    temporal_server: TemporalServer,
    client: Client,
    write_config: WriteConfig,
    start_runner: StartRunner,
) -> None:
    """An update of 3.5 s on a visibility time-out of 1 s: received once, carried out once."""
    workflow_id = f"slow-{storage.queue_name}"
    system = System(
        storage,
        temporal_server,
        write_config,
        start_runner,
        options=queue_options("visibility_timeout: 1s"),
        route=(
            "{update_with_start: process, workflow: Slow, args: [3.5], wait_for_result: 9s, "
            f"id: {workflow_id}}}"
        ),
    )
    runner = system.start()
    wait_until(system.ready, within=60, what="/readyz to answer 200")
    storage.send(storage.put("slow.txt"))
    wait_until(lambda: storage.count() == 0, what="the message to be deleted")
    assert await client.get_workflow_handle(workflow_id).result() == 1
    status = http("GET", f"http://127.0.0.1:{system.admin_port}/status").body
    assert re.search(r'"received": ?1\b', status), status
    assert runner.stop(within=60) == 0


async def test_a_runner_that_stops_hands_back_what_waits_for_temporal(
    storage: Storage,
    own_temporal_server: TemporalServer,
    write_config: WriteConfig,
    start_runner: StartRunner,
) -> None:
    """Temporal gone, an event held: SIGTERM makes its message visible at once, not in 10m."""
    own_temporal_server.start()
    own_temporal_server.wait_serving()
    system = System(
        storage,
        own_temporal_server,
        write_config,
        start_runner,
        options=queue_options("visibility_timeout: 10m"),
        route=READ_BLOB % f"held-{storage.queue_name}",
    )
    runner = system.start()
    wait_until(system.ready, within=60, what="/readyz to answer 200")
    # Once the outage is seen nothing is received: it is a frozen server that takes it for longest.
    own_temporal_server.freeze()
    storage.send(storage.put("held.txt"))
    wait_until(lambda: storage.visible() == 0, what="the message to be received")
    own_temporal_server.kill()
    wait_until(lambda: not system.ready(), what="the outage to be seen")
    runner.signal(signal.SIGTERM)
    assert runner.wait(within=60) == 0
    assert storage.visible() == 1


async def test_a_wrong_key_ends_the_runner_at_once_with_a_next_step(
    storage: Storage,
    temporal_server: TemporalServer,
    write_config: WriteConfig,
    start_runner: StartRunner,
) -> None:
    """A secret that Azure refuses is a permanent error, and does not show."""
    system = System(
        storage,
        temporal_server,
        write_config,
        start_runner,
        options=queue_options(),
        route=READ_BLOB % "never",
    )
    wrong = "d3Jvbmcga2V5"
    storage.connection_string = storage.azurite.connection_string(f"AccountKey={wrong}")
    runner = start_runner(
        "start", system.config, env={"UPLOADS_CONNECTION_STRING": storage.connection_string}
    )
    assert runner.wait(within=60) != 0
    assert "next step: look whether the key or the signature is the account's" in runner.output
    assert wrong not in runner.output


async def test_a_listed_blob_starts_its_workflow_once_with_two_runners(
    storage: Storage,
    temporal_server: TemporalServer,
    client: Client,
    write_config: WriteConfig,
    start_runner: StartRunner,
) -> None:
    """mode: list, no Event Grid: both runners see the blob, one workflow reads it."""
    storage.put("a.txt", b"listed")
    systems = [
        System(
            storage,
            temporal_server,
            write_config,
            start_runner,
            options="mode: list\n          container: {container}\n          poll_interval: 100ms",
            route=READ_BLOB % f"listed-{storage.queue_name}-${{{{ event.id }}}}",
        )
        for _ in range(2)
    ]
    runners = [systems[0].start()]
    wait_until(systems[0].ready, within=60, what="/readyz to answer 200")
    runners.append(systems[1].start())
    wait_until(systems[1].ready, within=60, what="/readyz to answer 200")
    storage.put("b.txt", b"listed")

    async def completed() -> bool:
        found = f"WorkflowId STARTS_WITH 'listed-{storage.queue_name}-'"
        return (await client.count_workflows(f"{found} AND ExecutionStatus='Completed'")).count == 2

    await eventually(completed, what="both blobs' workflows to complete")
    for runner in runners:
        assert runner.stop(within=60) == 0


async def test_a_lost_queue_service_is_waited_for(
    own_azurite: Azurite,
    temporal_server: TemporalServer,
    client: Client,
    write_config: WriteConfig,
    start_runner: StartRunner,
) -> None:
    """Azure gone and back: not ready, then ready; the runner stays and goes on."""
    own_azurite.start()
    storage = Storage(own_azurite)
    workflow_id = f"back-{storage.queue_name}"
    system = System(
        storage,
        temporal_server,
        write_config,
        start_runner,
        options=queue_options(),
        route=READ_BLOB % workflow_id,
    )
    runner = system.start()
    wait_until(system.ready, within=60, what="/readyz to answer 200")
    own_azurite.stop()
    wait_until(lambda: not system.ready(), what="/readyz to say no")
    own_azurite.start()
    storage.queue.create_queue()  # it forgets all
    storage.container.create_container()
    wait_until(system.ready, within=60, what="/readyz to answer 200 again")
    storage.send(storage.put("a.txt", b"after the outage"))
    handle = client.get_workflow_handle(workflow_id)

    async def result() -> str:
        try:
            return str(await handle.result())
        except Exception:
            return ""

    assert await eventually(result) == "after the outage"
    storage.close()
    assert runner.stop(within=60) == 0
