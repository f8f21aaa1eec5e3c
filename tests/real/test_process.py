"""The process around the runner: its descriptors, signals, proxies, and what blocks its loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import DataConverter

from temporal_runner.config.load import load
from temporal_runner.plan import connection_plans
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.runtime import blocked_loop
from temporal_runner.runtime.blocked_loop import telling_of_blocks
from temporal_runner.runtime.connection.proxies import warn_of_proxy
from temporal_runner.runtime.connection.target import make_target
from tests.conftest import WriteConfig
from tests.real import blocking
from tests.support import (
    BIN,
    RunnerProcess,
    TemporalServer,
    eventually,
    free_port,
    http,
    wait_until,
)

StartRunner = Callable[..., RunnerProcess]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def queue() -> str:
    """A task queue of the test's own."""
    return f"process-{uuid4().hex[:8]}"


@pytest.fixture
def port() -> int:
    """Of the runner's admin endpoint."""
    return free_port()


@pytest.fixture
def config(
    write_config: WriteConfig, temporal_server: TemporalServer, queue: str, port: int
) -> Path:
    """One worker, with activities that take long, in one way or the other."""
    return write_config(f"""
        import_paths: [{ROOT}]
        temporal: {{address: "{temporal_server.address}"}}
        workers:
          w:
            task_queue: {queue}
            workflows: [tests.real.flows, tests.real.blocking]
            activities: [tests.real.flows, tests.real.blocking]
        admin: {{port: {port}}}
    """)


def is_ready(port: int) -> bool:
    return http("GET", f"http://127.0.0.1:{port}/readyz").status == 200


# Descriptors. -------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("processes", [1, 2])
def test_descriptors_that_are_closed(
    config: Path, write_config: WriteConfig, port: int, closed: str, processes: int
) -> None:
    """Some supervisors start a process so; it runs, and drains at a signal."""
    more = f"extends: config.yaml\nworkers: {{w: {{processes: {processes}}}}}"
    command = f"exec {BIN / 'runner'} start {write_config(more, name='more.yaml')} {closed}"
    quiet = subprocess.DEVNULL
    runner = subprocess.Popen(
        ["/bin/sh", "-c", command], stdin=quiet, stdout=quiet, stderr=quiet, cwd=ROOT
    )
    try:
        assert wait_until(lambda: runner.poll() is not None or is_ready(port))
        assert runner.poll() is None
        for descriptor in "012":
            there = Path(f"/proc/{runner.pid}/fd/{descriptor}")
            assert not Path("/proc/self/fd").exists() or str(there.readlink()) == os.devnull
        runner.terminate()
        assert runner.wait(30) == 0
    finally:
        runner.kill()
        runner.wait()


# Signals. -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
async def test_a_terminal_that_is_closed_drains(
    config: Path, queue: str, client: Client, start_runner: StartRunner, times: int
) -> None:
    """SIGHUP is a stop like SIGTERM; a shell and the kernel may both send it."""
    runner = start_runner("start", config)
    runner.wait_for("ready: ")
    handle = await client.start_workflow("Slow", 3, id=f"{queue}-slow", task_queue=queue)

    async def started() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        return bool(pending) and pending[0].state == 2

    await eventually(started)
    for _ in range(times):
        runner.signal(signal.SIGHUP)
        await asyncio.sleep(0.2)
    assert runner.wait(within=30) == 0
    assert "SIGHUP: stopping" in runner.output
    history = [event async for event in handle.fetch_history_events()]
    assert any(event.HasField("activity_task_completed_event_attributes") for event in history)


def test_a_runner_outlives_its_terminal_with_nohup(config: Path, port: int) -> None:
    """What ignores the signal before goes on doing so."""
    command = ["nohup", str(BIN / "runner"), "start", str(config)]
    quiet = subprocess.DEVNULL
    runner = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, cwd=ROOT)
    try:
        wait_until(lambda: is_ready(port))
        runner.send_signal(signal.SIGHUP)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert is_ready(port)
        runner.terminate()
        assert runner.wait(30) == 0
    finally:
        runner.kill()
        runner.wait()


# What blocks the event loop. ----------------------------------------------------------------------


async def test_an_activity_that_blocks_the_loop_is_told_of(
    config: Path, queue: str, client: Client, start_runner: StartRunner
) -> None:
    """While it does, and for how long it did; with its name and line."""
    runner = start_runner("start", config)
    runner.wait_for("ready: ")
    await client.start_workflow("Blocked", 5.0, id=f"{queue}-blocked", task_queue=queue)
    runner.wait_for("the event loop is blocked for ")
    runner.wait_for("the event loop was blocked for ")
    line = next(line for line in runner.output.splitlines() if "is blocked for" in line)
    assert f"block ({ROOT}/tests/real/blocking.py:" in line
    assert runner.stop() == 0


async def test_a_block_that_lasts_is_told_of_at_a_bounded_rate(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time after twice as long; then once more, when it is over."""
    monkeypatch.setattr(blocked_loop, "_BEAT", 0.02)
    monkeypatch.setattr(blocked_loop, "_TELL_AFTER", 0.1)
    with telling_of_blocks():
        time.sleep(1.0)  # noqa: ASYNC251 - the mistake that is tested
        await eventually(lambda: asyncio.sleep(0, "was blocked" in caplog.text), within=10)
    said = [message for message in caplog.messages if "is blocked" in message]
    assert 2 <= len(said) <= 4
    assert all("test_process.py" in message for message in said)
    assert len([message for message in caplog.messages if "was blocked" in message]) == 1


async def test_a_loop_that_turns_is_not_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor one that has ended."""
    monkeypatch.setattr(blocked_loop, "_BEAT", 0.02)
    monkeypatch.setattr(blocked_loop, "_TELL_AFTER", 0.2)
    with telling_of_blocks():
        await asyncio.sleep(0.5)
    time.sleep(0.5)  # noqa: ASYNC251 - the same, beyond what is watched
    assert caplog.text == ""


# Proxies. -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "address", "tls", "said"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "temporal.example:7233", True, "HTTPS_PROXY"),
        ({"https_proxy": "http://p:1"}, "temporal.example:7233", True, "HTTPS_PROXY"),
        ({"ALL_PROXY": "http://p:1"}, "temporal.example:7233", False, "ALL_PROXY"),
        ({"http_proxy": "http://p:1"}, "temporal.example:7233", False, "HTTP_PROXY"),
        ({"HTTPS_PROXY": "http://p:1"}, "temporal.example:7233", False, ""),
        ({"HTTPS_PROXY": ""}, "temporal.example:7233", True, ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "temporal.example:7233", True, ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, "t.example:7233", True, ""),
        ({"HTTPS_PROXY": "http://p:1"}, "localhost:7233", True, ""),
        ({"HTTPS_PROXY": "http://p:1"}, "[::1]:7233", True, ""),
        ({"HTTPS_PROXY": "http://user:secret@p:1"}, "t.example:7233", True, "HTTPS_PROXY"),
        ({}, "temporal.example:7233", True, ""),
    ],
)
def test_a_proxy_that_is_not_used_is_said(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variables: dict[str, str],
    address: str,
    tls: bool,
    said: str,
) -> None:
    """Other SDKs go through it; NO_PROXY silences the warning, and no password is in it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    warn_of_proxy(address, tls=tls)
    assert [said in message for message in caplog.messages] == ([True] if said else [])
    assert "secret" not in caplog.text


def test_a_connection_says_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, write_config: WriteConfig
) -> None:
    """With the address that it goes to."""
    caplog.set_level(logging.WARNING)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    config = write_config("temporal: {address: 't.example:7233', tls: {}}")
    (plan,) = connection_plans(load(config), Catalog.installed())
    make_target(plan)
    assert "the connection goes to t.example:7233 directly" in caplog.text


# Plugins with a converter of their own. -----------------------------------------------------------


CHOSEN = ", data_converter: 'tests.real.blocking:make_converter'"


async def connected(write_config: WriteConfig, server: TemporalServer, options: str) -> Client:
    config = write_config(f"""
        import_paths: [{ROOT}]
        temporal: {{address: "{server.address}"{options}}}
    """)
    (plan,) = connection_plans(load(config), Catalog.installed())
    return await make_target(plan).connect()


@pytest.mark.parametrize(
    ("options", "payloads", "codec"),
    [
        ("", PydanticPayloadConverter, None),
        (", plugins: ['tests.real.extensions:make_plugin']", PydanticPayloadConverter, None),
        (", plugins: ['tests.real.blocking:Particular']", blocking.OwnConverter, None),
        (", plugins: ['tests.real.blocking:Encoding']", PydanticPayloadConverter, blocking.NoCodec),
        (", plugins: ['tests.real.blocking:Particular', 'tests.real.blocking:Encoding']",
         blocking.OwnConverter, blocking.NoCodec),
        (CHOSEN, PydanticPayloadConverter, blocking.NoCodec),
        (f"{CHOSEN}, plugins: ['tests.real.extensions:make_plugin']",
         PydanticPayloadConverter, blocking.NoCodec),
    ],
)  # fmt: skip
async def test_whose_converter_it_is(
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    options: str,
    payloads: type,
    codec: type | None,
) -> None:
    """The config's, else a plugin's, else pydantic; a codec stays."""
    client = await connected(write_config, temporal_server, options)
    converter: DataConverter = client.data_converter
    assert converter.payload_converter_class is payloads
    assert (type(converter.payload_codec) if converter.payload_codec else None) is codec


async def test_a_choice_that_a_plugin_refuses_is_told(
    write_config: WriteConfig, temporal_server: TemporalServer
) -> None:
    """Where the user did choose, the plugin may say so."""
    options = f"{CHOSEN}, plugins: ['tests.real.blocking:Particular']"
    with pytest.raises(ValueError, match="set no data_converter beside this plugin"):
        await connected(write_config, temporal_server, options)
