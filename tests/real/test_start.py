"""`runner start` as a process: late and lost servers, signals, readiness."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.conftest import WriteConfig
from tests.support import (
    RunnerProcess,
    TemporalServer,
    eventually,
    free_port,
    http,
    post_json,
    run_runner,
    wait_until,
)

CONFIG = """
    import_paths: [{root}]
    temporal: {{address: "{address}"}}
    retry: {{base_delay: 200ms, max_delay: 2s, timeout: 60s}}
    workers:
      echo:
        task_queue: echo-{unique}
        workflows: [tests.real.flows:Echo, tests.real.flows:Slow]
        activities: [tests.real.flows]
        graceful_shutdown_timeout: 10s
    listeners:
      hook:
        source: webhook
        options: {{port: {hook}, verify: {{scheme: none}}}}
        routes:
          - when: has(event.data.seconds)
            start: Slow
            id: slow-{unique}-${{{{ event.data.key }}}}
            args: ["${{{{ event.data.seconds }}}}"]
          - start: Echo
            id: echo-{unique}-${{{{ event.data.key }}}}
            args: ["${{{{ event.data }}}}"]
    admin: {{port: {admin}}}
"""

StartRunner = Callable[..., RunnerProcess]
Figure = Callable[[str, object], None]


class System:
    """A config on free ports, and what to ask of the runner that runs it."""

    def __init__(self, write_config: WriteConfig, address: str) -> None:
        self.hook_port, self.admin_port = free_port(), free_port()
        self.unique = f"{self.hook_port}"
        root = Path(__file__).parents[2]
        text = CONFIG.format(
            root=root,
            address=address,
            unique=self.unique,
            hook=self.hook_port,
            admin=self.admin_port,
        )
        self.config = write_config(text)

    def ready(self) -> bool:
        return http("GET", f"http://127.0.0.1:{self.admin_port}/readyz").status == 200

    def not_ready(self) -> bool:
        return http("GET", f"http://127.0.0.1:{self.admin_port}/readyz").status == 503

    def part(self, name: str) -> dict[str, Any]:
        """A component's part of /readyz."""
        parts = http("GET", f"http://127.0.0.1:{self.admin_port}/readyz").json()["components"]
        found: dict[str, Any] = next(part for part in parts if part["name"] == name)
        return found

    def post(self, **data: object) -> int:
        return post_json(f"http://127.0.0.1:{self.hook_port}/", data).status


async def activity_started(client: Client, workflow_id: str) -> None:
    """Wait until a worker has the workflow's activity in hand."""
    handle = client.get_workflow_handle(workflow_id)

    async def started() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        return bool(pending) and pending[0].state == 2  # PENDING_ACTIVITY_STATE_STARTED

    await eventually(started)


@pytest.fixture
def system(write_config: WriteConfig, temporal_server: TemporalServer) -> System:
    """A system on the shared server."""
    return System(write_config, temporal_server.address)


def test_a_runner_that_starts_before_its_server_waits_and_becomes_ready(
    write_config: WriteConfig,
    own_temporal_server: TemporalServer,
    start_runner: StartRunner,
    figure: Figure,
) -> None:
    """Started 8 s before Temporal: attempts with classes and growing delays, then ready."""
    system = System(write_config, own_temporal_server.address)
    runner = start_runner("start", system.config)
    wait_until(system.not_ready, what="the runner's probes to answer")
    started = time.monotonic()
    wait_until(lambda: time.monotonic() - started > 8, what="8 s to pass without a server")
    assert system.not_ready()
    assert system.post(key="early") == 503
    own_temporal_server.start()
    serving = own_temporal_server.wait_serving()
    wait_until(system.ready, what="/readyz to answer 200")
    figure("from SERVING to /readyz 200", f"{time.monotonic() - serving:.2f} s")
    delays = [
        float(number) / (1000 if unit == "ms" else 1)
        for number, unit in re.findall(r"next attempt in ([\d.]+)(ms|s)", runner.output)
    ]
    figure("delays (s)", delays)
    assert "attempt 1 failed, transient ConnectionRefused: connection refused" in runner.output
    assert len(delays) >= 4
    assert max(delays) > 4 * 0.2, "the delays do not grow"
    assert system.post(key="late") == 202
    assert runner.stop() == 0


async def test_a_lost_server_makes_the_runner_wait_and_come_back_by_itself(
    write_config: WriteConfig,
    own_temporal_server: TemporalServer,
    start_runner: StartRunner,
    figure: Figure,
) -> None:
    """SIGKILL and restart of Temporal: not ready, 503; then ready and 202, in one process."""
    own_temporal_server.start()
    own_temporal_server.wait_serving()
    system = System(write_config, own_temporal_server.address)
    runner = start_runner("start", system.config)
    wait_until(system.ready, what="ready before the outage")
    assert system.post(key="before") == 202

    own_temporal_server.kill()
    wait_until(system.not_ready, what="not ready in the outage")
    wait_until(lambda: not system.part("temporal")["ready"], what="the connection to be lost")
    assert system.part("temporal")["error"]
    answer = post_json(f"http://127.0.0.1:{system.hook_port}/", {"key": "meanwhile"})
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1

    own_temporal_server.start()
    serving = own_temporal_server.wait_serving()
    wait_until(system.ready, what="ready after the outage")
    figure("from the server's return to /readyz 200", f"{time.monotonic() - serving:.2f} s")
    assert runner.running
    assert system.post(key="after") == 202
    client = await Client.connect(own_temporal_server.address)
    for key in ("before", "after"):
        result = await client.get_workflow_handle(f"echo-{system.unique}-{key}").result()
        assert result == {"key": key}
    assert runner.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_drains_and_exits_0(
    system: System, start_runner: StartRunner, client: Client, number: signal.Signals
) -> None:
    """What a worker has in hand at the signal is let finish."""
    runner = start_runner("start", system.config)
    wait_until(system.ready)
    key = number.name
    assert system.post(key=key, seconds=2) == 202
    handle = client.get_workflow_handle(f"slow-{system.unique}-{key}")
    await activity_started(client, handle.id)
    runner.signal(number)
    assert runner.wait(within=15) == 0
    assert "stopped" in runner.output
    # No worker is left, so the workflow itself does not end: but its activity did.
    events = [event async for event in handle.fetch_history_events()]
    assert any(event.HasField("activity_task_completed_event_attributes") for event in events)


def test_a_second_signal_ends_at_once(system: System, start_runner: StartRunner) -> None:
    """An operator who is in a hurry is not made to wait for the drain."""
    runner = start_runner("start", system.config)
    wait_until(system.ready)
    assert system.post(key="long", seconds=30) == 202
    wait_until(lambda: "polling" in runner.output)
    runner.signal(signal.SIGTERM)
    runner.wait_for("SIGTERM: stopping")
    runner.signal(signal.SIGTERM)
    assert runner.wait(within=5) == 128 + signal.SIGTERM
    assert "ending at once: second SIGTERM" in runner.output


def test_the_same_event_twice_starts_one_workflow(
    system: System, start_runner: StartRunner
) -> None:
    """202 for the first, 200 for the duplicate."""
    start_runner("start", system.config)
    wait_until(system.ready)
    assert system.post(key="same") == 202
    assert system.post(key="same") == 200


def test_only_runs_what_it_names(system: System, start_runner: StartRunner) -> None:
    """--only hook: no worker runs; an unknown name is exit 2 with the known ones."""
    start_runner("start", system.config, "--only", "hook")
    wait_until(system.ready)
    status = http("GET", f"http://127.0.0.1:{system.admin_port}/status").json()
    assert {part["kind"] for part in status["components"]} == {"connection", "listener"}
    code, output = run_runner("start", system.config, "--only", "hok")
    assert (code, "did you mean hook?" in output) == (2, True)


def test_probes_tell_of_each_part(system: System, start_runner: StartRunner) -> None:
    """/livez while it lives, /readyz by component, `runner health` for containers."""
    runner = start_runner("start", system.config)
    wait_until(system.ready)
    url = f"http://127.0.0.1:{system.admin_port}"
    assert http("GET", f"{url}/livez").json() == {"live": True}
    ready = http("GET", f"{url}/readyz").json()
    assert ready["ready"] is True
    assert [(part["kind"], part["name"]) for part in ready["components"]] == [
        ("connection", "temporal"),
        ("worker", "echo"),
        ("listener", "hook"),
    ]
    assert run_runner("health", "--url", f"{url}/readyz") == (0, "ready\n")
    assert system.post(key="counted") == 202
    metrics = http("GET", f"{url}/metrics").body.splitlines()
    assert 'temporal_runner_component_ready{kind="worker",name="echo"} 1.0' in metrics
    assert 'temporal_runner_events_total{listener="hook",outcome="accepted"} 1.0' in metrics
    assert "# TYPE temporal_runner_events_total counter" in metrics
    assert runner.stop() == 0
    code, output = run_runner("health", "--url", f"{url}/readyz")
    assert code == 1
    assert "no runner answers" in output


def test_a_port_in_use_is_one_line_and_exit_1(system: System, start_runner: StartRunner) -> None:
    """A second runner on the same ports says which, and what to do."""
    start_runner("start", system.config)
    wait_until(system.ready)
    code, output = run_runner("start", system.config)
    assert code == 1
    assert f"cannot listen at 127.0.0.1:{system.admin_port}: Address already in use" in output
    assert "next step: stop the other process, or set another port" in output
    assert "Traceback" not in output


async def test_a_drain_past_its_deadline_ends_hard(
    write_config: WriteConfig, system: System, start_runner: StartRunner, client: Client
) -> None:
    """Exit 1 at `shutdown_timeout`, and why, whatever an activity still does."""
    short = write_config("extends: config.yaml\nshutdown_timeout: 1s", name="short.yaml")
    runner = start_runner("start", short)
    wait_until(system.ready)
    assert system.post(key="endless", seconds=50) == 202
    await activity_started(client, f"slow-{system.unique}-endless")
    runner.signal(signal.SIGTERM)
    assert runner.wait(within=6) == 1
    assert "not stopped within shutdown_timeout (1s)" in runner.output


def test_a_signal_while_it_waits_for_temporal_ends_it(
    write_config: WriteConfig, start_runner: StartRunner
) -> None:
    """Nothing to drain yet: exit 0, at once."""
    system = System(write_config, f"127.0.0.1:{free_port()}")
    runner = start_runner("start", system.config)
    runner.wait_for("attempt 2 failed")
    assert runner.stop(within=5) == 0
