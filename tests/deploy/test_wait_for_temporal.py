"""`wait_for_temporal.py`, as those use it who take nothing else of the framework."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.real.impostors import grpc_server, serving, silent
from tests.support import ROOT, TemporalServer, free_port, wait_until

SCRIPT = ROOT / "deploy" / "wait_for_temporal.py"
PERMISSION_DENIED = 7
Figure = Callable[[str, object], None]


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(SCRIPT), *arguments]


def environment(address: str, **more: str) -> dict[str, str]:
    others = {key: value for key, value in os.environ.items() if not key.startswith("TEMPORAL_")}
    return {**others, "TEMPORAL_ADDRESS": address, **more}


def wait(address: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The script, run to its end."""
    return subprocess.run(
        command(*arguments),
        env=environment(address, **more),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def lines(output: str) -> list[dict[str, Any]]:
    """What it logged: one JSON object a line, and nothing else."""
    return [json.loads(line) for line in output.splitlines()]


@contextmanager
def started(
    address: str, log: Path, *arguments: str
) -> Iterator[tuple[subprocess.Popen[str], Callable[[], list[dict[str, Any]]]]]:
    """The script at work, and what it has logged so far."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command(*arguments),
            env=environment(address),
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    try:
        yield process, lambda: lines(log.read_text())
    finally:
        process.kill()
        process.communicate()


def test_it_needs_the_sdk_and_nothing_else() -> None:
    """It can be copied anywhere: the standard library and `temporalio` are all that it imports."""
    names = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    assert names - set(sys.stdlib_module_names) == {"temporalio"}


def test_a_temporal_that_is_there_is_exit_code_0(temporal_server: TemporalServer) -> None:
    """The good case: one line that says so, and for a health check none."""
    done = wait(temporal_server.address)
    assert done.returncode == 0, done.stderr
    (line,) = lines(done.stderr)
    assert (line["message"], line["attempt"], line["namespace"]) == ("ready", 1, "default")
    done = wait(temporal_server.address, "--health-check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_late_temporal_is_waited_for_and_the_command_runs_then(
    own_temporal_server: TemporalServer, tmp_path: Path, figure: Figure
) -> None:
    """An attempt is a line with its number, class, error and next delay; the command comes last."""
    python = [sys.executable, "-c", "print('the command runs')"]
    options = ["--timeout", "120s", "--base-delay", "50ms", "--max-delay", "400ms"]
    address, log = own_temporal_server.address, tmp_path / "log"
    with started(address, log, *options, "--", *python) as (process, logged):
        wait_until(lambda: len(logged()) >= 5, what="five attempts")
        own_temporal_server.start()
        serving_at = own_temporal_server.wait_serving()
        output, _ = process.communicate(timeout=60)
        figure("the command's end after the server serves", f"{time.monotonic() - serving_at:.2f}s")
    assert process.returncode == 0
    assert output == "the command runs\n"
    *failed, ready = logged()
    assert ready["message"] == "ready"
    assert [line["attempt"] for line in logged()] == list(range(1, len(failed) + 2))
    for line in failed[:5]:
        assert line["level"] == "warning"
        assert (line["class"], line["kind"]) == ("transient", "connection_refused")
        assert "Connection refused" in line["error"]
        assert 0 <= line["next_attempt_in"] <= 0.4
    assert len({line["next_attempt_in"] for line in failed}) > 1, "no jitter"


def test_the_command_line_wins_over_the_environment(temporal_server: TemporalServer) -> None:
    """`--address` and `--namespace` name another Temporal than the environment does."""
    nowhere = f"127.0.0.1:{free_port()}"
    done = wait(nowhere, "--address", temporal_server.address, "--timeout", "60s")
    assert done.returncode == 0, done.stderr
    done = wait(temporal_server.address, "--namespace", "other", TEMPORAL_NAMESPACE="default")
    assert lines(done.stderr)[0]["namespace"] == "other"


def test_a_namespace_that_is_missing_fails_at_once_or_is_waited_for(
    temporal_server: TemporalServer,
) -> None:
    """`connect` alone would succeed; `--retry-on` is for a namespace that is created late."""
    began = time.monotonic()
    done = wait(temporal_server.address, "--timeout", "90s", TEMPORAL_NAMESPACE="missing")
    assert done.returncode == 1
    assert time.monotonic() - began < 60
    (line,) = lines(done.stderr)
    assert (line["class"], line["kind"]) == ("permanent", "namespace_not_found")
    assert "create the namespace" in line["next_step"]
    late = ["--retry-on", "namespace_not_found", "--timeout", "2s"]
    done = wait(temporal_server.address, *late, TEMPORAL_NAMESPACE="missing")
    assert done.returncode == 1
    assert len(lines(done.stderr)) > 1


async def test_a_wrong_key_fails_at_once() -> None:
    """A refusal that trying again cannot mend is one line with its next step."""
    async with serving(grpc_server(PERMISSION_DENIED, "no")) as address:
        done = await asyncio.to_thread(wait, address, "--timeout", "90s")
    assert done.returncode == 1
    (line,) = lines(done.stderr)
    assert (line["class"], line["kind"]) == ("permanent", "permission_denied")


def test_tls_to_a_server_without_it_fails_at_once(temporal_server: TemporalServer) -> None:
    """An API key turns TLS on; the key itself is in no line."""
    done = wait(temporal_server.address, "--timeout", "90s", TEMPORAL_API_KEY="not-shown")
    assert done.returncode == 1
    (line,) = lines(done.stderr)
    assert line["kind"] == "tls_to_plaintext"
    assert "not-shown" not in done.stderr


@pytest.mark.parametrize("tls", ["false", "true"])
async def test_the_time_out_holds_against_a_server_that_stays_silent(
    tls: str, figure: Figure
) -> None:
    """The SDK's own `connect` needs 30 s there, and with TLS it never returns."""
    began = time.monotonic()
    async with serving(silent) as address:
        options = ["--timeout", "3s", "--attempt-timeout", "1s"]
        done = await asyncio.to_thread(wait, address, *options, TEMPORAL_TLS=tls)
    took = time.monotonic() - began
    figure(f"a time-out of 3s, tls {tls}", f"{took:.1f}s")
    assert done.returncode == 1
    assert {line["kind"] for line in lines(done.stderr)} == {"no_answer"}
    assert lines(done.stderr)[-1]["elapsed"] <= 3.5
    assert took < 25, "the process did not end with its time-out"


def test_a_health_check_is_one_attempt() -> None:
    """Docker asks again by itself; the reason is what `docker inspect` shows of it."""
    done = wait(f"127.0.0.1:{free_port()}", "--health-check")
    assert done.returncode == 1
    (line,) = lines(done.stderr)
    assert (line["message"], line["kind"]) == ("gave up", "connection_refused")


def test_without_a_time_out_it_waits_until_it_is_stopped(tmp_path: Path) -> None:
    """For containers that may start long before Temporal: `--timeout none`, ended by SIGTERM."""
    options = ["--timeout", "none", "--base-delay", "10ms", "--max-delay", "20ms"]
    with started(f"127.0.0.1:{free_port()}", tmp_path / "log", *options) as (process, logged):
        wait_until(lambda: len(logged()) >= 20, what="twenty attempts")
        assert {line["message"] for line in logged()} == {"attempt failed"}
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    "wrong", [["--timeout", "soon"], ["--tiemout", "3s"], ["--base-delay", "0"]]
)
def test_a_wrong_command_line_is_exit_code_2(wrong: list[str]) -> None:
    """It says which argument, before anything is tried."""
    done = wait("127.0.0.1:1", *wrong)
    assert done.returncode == 2
    assert wrong[0] in done.stderr


def test_an_address_without_a_port_is_exit_code_2() -> None:
    """The SDK would dial port 80, for as long as it may."""
    done = wait("temporal", "--timeout", "60s")
    assert done.returncode == 2
    assert "the address 'temporal' is not host:port" in done.stderr


def test_a_command_that_is_not_there_is_exit_code_2(temporal_server: TemporalServer) -> None:
    """The name is in the message."""
    done = wait(temporal_server.address, "--", "no-such-command")
    assert done.returncode == 2
    assert "no-such-command: No such file or directory" in done.stderr


def test_it_ends_cleanly_many_times(temporal_server: TemporalServer) -> None:
    """Python can abort at exit while the SDK's threads hold callbacks; a health check must not."""
    codes = [wait(temporal_server.address, "--health-check").returncode for _ in range(10)]
    assert codes == [0] * 10
