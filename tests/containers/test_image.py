"""The image by itself, and the problem that it ends: a container runs, and nothing serves yet."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers import engine
from tests.support import wait_until

Figure = Callable[[str, object], None]
NAIVE = """
import asyncio
from temporalio.client import Client
async def main():
    await Client.connect("temporal:7233")
    print("connected", flush=True)
    await asyncio.sleep(0.05)  # Python can abort where it ends at once
asyncio.run(main())
"""
"""What a worker's main function begins with."""
AT_ONCE = "sleep 8; exec temporal server start-dev --ip 0.0.0.0 --headless --log-level never"
"""A container that runs at once, and whose server comes later."""


def run_in(image: str, *command: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
    """A command in a container of the image: exit code and output."""
    options = ("--rm", *options, "--entrypoint", command[0])
    done = engine.run("docker", "run", *options, image, *command[1:], check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def network() -> Iterator[str]:
    """A network of the test's own, with what is in it removed at the end."""
    name = f"runner-test-{uuid.uuid4().hex[:8]}"
    engine.docker("network", "create", name)
    yield name
    found = engine.docker("ps", "--all", "--quiet", "--filter", f"network={name}").split()
    if found:
        engine.docker("rm", "--force", "--volumes", *found)
    engine.docker("network", "rm", name)


@pytest.fixture
def start(image: str, network: str) -> Callable[..., str]:
    """Start a container in the test's network, which goes on by itself; its ID."""

    def start(*command: str, image: str = image, name: str = "") -> str:
        alias = ("--network-alias", name) if name else ()
        options = ("--detach", "--network", network, *alias, "--entrypoint", command[0])
        return engine.docker("run", *options, image, *command[1:])

    return start


def said(container: str) -> str:
    done = engine.run("docker", "logs", container)
    return done.stdout + done.stderr


def ended(container: str, *, within: float = 60) -> int:
    """Wait for a container's end; its exit code."""
    return int(engine.docker("wait", container, within=within))


def test_it_is_small_enough_and_has_what_runs_and_no_more(image: str, figure: Figure) -> None:
    """Not root; no compiler, no pip, no builder, no tests, no history beside what runs."""
    sizes = [
        int(engine.docker("image", "inspect", "--format", "{{.Size}}", one))
        for one in (image, "python:3.11-slim-bookworm")
    ]
    figure("image size, MB", sizes[0] // 1_000_000)
    figure("of which the base is, MB", sizes[1] // 1_000_000)
    assert sizes[0] - sizes[1] < 400_000_000
    look = "id -u; command -v gcc cc make git; ls -A /app /opt/runner/bin; ls /build 2>/dev/null"
    _, output = run_in(image, "sh", "-c", look)
    user, *names = output.split()
    assert user == "10001"
    assert {"runner", "configs", "examples", "wait_for_temporal.py"} <= set(names)
    assert not {"gcc", "pip", "hatchling", "tests", ".git", ".env"} & {
        Path(name).name for name in names
    }


def test_it_runs_with_nothing_to_write_to(image: str) -> None:
    """A read-only root, no capabilities: a config is read and each plugin found."""
    confined = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true")
    code, output = run_in(image, "runner", "validate", "configs/quickstart.yaml", options=confined)
    assert code == 0, output
    code, output = run_in(image, "runner", "plugins", options=confined)
    assert code == 0, output
    assert {"s3", "azure", "webhook"} <= set(output.split())


@pytest.mark.timeout(120)
def test_the_problem_and_its_solutions(start: Callable[..., str]) -> None:
    """A container that runs does not serve yet: naive code dies of it, each of ours waits.

    `wait_for_temporal.py` with the same naive code behind it, `runner wait` likewise.
    """
    temporal = "temporalio/temporal:latest"
    start("sh", "-c", AT_ONCE, image=temporal, name="temporal")
    naive = start("python", "-c", NAIVE)
    script = ("python", "wait_for_temporal.py", "--address", "temporal:7233", "--timeout", "60s")
    waiting = start(*script, "--", "python", "-c", NAIVE)
    command = ("runner", "wait", "--address", "temporal:7233", "--timeout", "none")
    runner = start(*command, "--", "python", "-c", NAIVE)

    assert ended(naive) == 1
    assert "RuntimeError: Failed client connect" in said(naive)
    assert "Connection refused" in said(naive)

    assert ended(waiting) == 0, said(waiting)
    lines = [json.loads(line) for line in said(waiting).splitlines() if line.startswith("{")]
    assert [line["message"] for line in lines][-1] == "ready"
    assert {line["kind"] for line in lines[:-1]} <= {"connection_refused", "name_not_found"}
    assert len(lines) > 2
    assert "connected" in said(waiting)

    assert ended(runner) == 0, said(runner)
    assert "attempt 1 failed, transient ConnectionRefused" in said(runner)
    assert "connected" in said(runner)


@pytest.mark.parametrize(
    "command",
    [
        ("runner", "wait", "--address", "nowhere:7233", "--timeout", "none"),
        ("python", "wait_for_temporal.py", "--address", "nowhere:7233", "--timeout", "none"),
    ],
    ids=["runner wait", "wait_for_temporal.py"],
)
def test_a_stop_while_it_waits_ends_it_at_once(
    start: Callable[..., str], command: tuple[str, ...], figure: Figure
) -> None:
    """As a container's first process, which the kernel spares signals that it has no action for."""
    container = start(*command)
    wait_until(lambda: "attempt" in said(container), what="the first attempt")
    began = time.monotonic()
    engine.docker("stop", "--time", "30", container)
    took = time.monotonic() - began
    figure("stopped after, s", round(took, 1))
    assert ended(container) == 143
    assert took < 15
