"""The embedded server: where it serves is where everybody goes, and why it ends is told."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.conftest import WriteConfig
from tests.support import ROOT, RunnerProcess, free_port, run_runner

StartRunner = Callable[..., RunnerProcess]


def config_of(write_config: WriteConfig, temporal: str, more: str = "", rest: str = "") -> Path:
    """A config with one worker and an embedded server in memory."""
    return write_config(f"""
        import_paths: [{ROOT}]
        temporal: {{{temporal}}}
        workers:
          echo: {{task_queue: q, workflows: [tests.real.flows:Echo],
                 activities: [tests.real.flows:echo]{more}}}
        {rest}
    """)


def dev_server(port: int | None, more: str = "") -> str:
    given = "" if port is None else f"port: {port}, "
    return f"dev_server: {{{given}ui: false, database_path: null{more}}}"


async def test_port_0_picks_a_free_one_for_all(
    write_config: WriteConfig, start_runner: StartRunner
) -> None:
    """The worker's processes and another namespace's connection go there, too."""
    config = config_of(
        write_config,
        dev_server(0),
        ", processes: 2",
        "connections: {same: {namespace: default}}",
    )
    runner = start_runner("start", config)
    runner.wait_for("ready: config.yaml")
    found = re.search(
        r"Temporal at (localhost|127.0.0.1):(\d+)|connection +temporal +(\S+):(\d+),", runner.output
    )
    assert found, runner.output
    port = found[2] or found[4]
    assert port not in {"0", "7233"}
    client = await Client.connect(f"127.0.0.1:{port}")
    handle = await client.start_workflow("Echo", "hello", id="echo", task_queue="q")
    assert await handle.result() == "hello"
    assert runner.stop() == 0


@pytest.mark.parametrize("address", ["", "address: 'localhost:7233', "])
async def test_the_clients_follow_its_port(
    write_config: WriteConfig, start_runner: StartRunner, address: str
) -> None:
    """`dev_server.port` is where the server serves, whatever the address says."""
    port = free_port()
    runner = start_runner("start", config_of(write_config, address + dev_server(port)))
    runner.wait_for("ready: config.yaml")
    assert f":{port}, namespace default" in runner.output
    assert runner.stop() == 0


def test_an_ipv6_address(write_config: WriteConfig) -> None:
    """The server panics at it; who has it learns what to write instead."""
    for more in (dev_server(None), dev_server(17233)):
        code, output = run_runner(
            "start", config_of(write_config, f"address: '[::1]:17233', {more}")
        )
        assert code == 2, output
        assert "serves IPv4 alone: set 127.0.0.1:17233" in output


ENDS = {
    "a database of garbage": ("database_path: garbage.db", "file is not a database"),
    "an option that it does not have": ("extra_args: [--bogus]", "unknown flag: --bogus"),
    "the UI's port is taken": ("ui: true, ui_port: {taken}", "address already in use"),
    "no program": ("binary: plain.txt", "Permission denied"),
    "a folder that cannot be": ("database_path: plain.txt/t.db", "plain.txt"),
    "an address of another machine": ("", "203.0.113.7"),
}


@pytest.mark.parametrize(("options", "words"), ENDS.values(), ids=ENDS)
def test_a_server_that_cannot_start_ends_the_runner(
    write_config: WriteConfig, tmp_path: Path, options: str, words: str
) -> None:
    """At once, with the server's own words."""
    (tmp_path / "garbage.db").write_text("garbage" * 1000)
    (tmp_path / "plain.txt").write_text("text")
    host = "127.0.0.1" if options else "203.0.113.7"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = options.format(taken=taken.getsockname()[1])
        given = {"ui": "false", "database_path": "null"}
        given |= dict(part.split(": ", 1) for part in options.split(", ") if part)
        shown = ", ".join(f"{key}: {value}" for key, value in given.items())
        began = time.monotonic()
        code, output = run_runner(
            "start",
            config_of(write_config, f"address: '{host}:{free_port()}', dev_server: {{{shown}}}"),
        )
    assert code == 1, output
    assert time.monotonic() - began < 30
    assert words in output.split("stopped: ")[1], output
    assert "is Temporal running there?" not in output.split("stopped: ")[1]
    assert "Traceback" not in output


def test_a_picked_port_is_known_to_its_runner_alone(write_config: WriteConfig) -> None:
    """Who waits from elsewhere is told so."""
    code, output = run_runner("wait", config_of(write_config, dev_server(0)), "--timeout", "20s")
    assert code == 2
    assert "dev_server picks one" in output
