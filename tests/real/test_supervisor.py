"""Supervision: what fails is run again while the rest goes on; what fails for good ends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import WriteConfig
from tests.support import RunnerProcess, TemporalServer, free_port, http, run_runner, wait_until

CONFIG = """
import_paths: [{root}]
temporal: {{address: "{address}"}}
restart: {{base_delay: 100ms, max_attempts: 3}}
workers:
  steady:
    task_queue: steady-{unique}
    activities: [tests.real.flows]
  fragile:
    task_queue: fragile-{unique}
    activities: [tests.real.flows]
    plugins: [tests.real.extensions:Dying]
admin: {{port: {port}}}
"""

StartRunner = Callable[..., RunnerProcess]


class System:
    """A config with a steady worker and one that dies."""

    def __init__(self, write_config: WriteConfig, address: str) -> None:
        self.port = free_port()
        self.config = write_config(
            CONFIG.format(
                root=Path(__file__).parents[2],
                address=address,
                unique=uuid4().hex[:8],
                port=self.port,
            )
        )

    def part(self, name: str) -> dict[str, Any]:
        """A component's status."""
        answer = http("GET", f"http://127.0.0.1:{self.port}/status")
        if answer.status != 200:
            return {}
        found: dict[str, Any] = next(
            part for part in answer.json()["components"] if part["name"] == name
        )
        return found


@pytest.fixture
def system(write_config: WriteConfig, temporal_server: TemporalServer) -> System:
    """The system on the shared server."""
    return System(write_config, temporal_server.address)


def test_a_worker_that_dies_is_run_again_while_the_rest_goes_on(
    system: System, start_runner: StartRunner
) -> None:
    """Two deaths, two restarts with a delay each, then ready; the other worker never stops."""
    runner = start_runner("start", system.config, env={"DEATHS": "2"})
    runner.wait_for("worker fragile: attempt 2 failed")
    assert system.part("steady")["ready"]
    wait_until(lambda: system.part("fragile").get("ready"), what="the fragile worker to be ready")
    assert system.part("fragile")["restarts"] == 2
    assert system.part("steady")["restarts"] == 0
    assert "the worker could not begin (next attempt in " in runner.output
    assert "the worker lost its poller (next attempt in " in runner.output
    assert runner.stop() == 0


def test_past_its_restarts_the_runner_ends_and_says_which_and_why(
    system: System, temporal_server: TemporalServer
) -> None:
    """Exit 1, the component, how often, and the last error; the others are drained."""
    code, output = run_runner("start", system.config, env={"DEATHS": "99"})
    assert code == 1
    assert "worker fragile: gave up after 3 attempts" in output
    assert "the last error: the worker lost its poller" in output
    assert "Traceback" not in output
