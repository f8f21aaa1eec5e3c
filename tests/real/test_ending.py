"""A runner ends within `shutdown_timeout` and at a second signal, whatever hangs in it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import WriteConfig
from tests.support import BIN, ROOT, RunnerProcess, TemporalServer, free_port, http, post_json

StartRunner = Callable[..., RunnerProcess]

HANGING = """
plugins: [{root}/tests/real/hanging.py]
import_paths: [{root}]
temporal: {{address: "{address}"}}
dead_letters: {{path: "{folder}/dead-letters.db"}}
shutdown_timeout: 1s
listeners:
  hanging:
    source: hanging
    options: {{how: {how}, at: {at}}}
    routes: [{{start: Basket, task_queue: nobody-works-here}}]
"""
SOON = 10.0
"""Seconds: `shutdown_timeout`, the grace, what a loaded machine takes; far from for ever."""


@pytest.fixture
def hanging(
    start_runner: StartRunner, write_config: WriteConfig, temporal_server: TemporalServer
) -> Callable[[str, str], RunnerProcess]:
    """Start a runner that hangs in some way, at its start or when it is stopped."""

    def start(how: str, at: str) -> RunnerProcess:
        folder = write_config("").parent
        address = temporal_server.address
        text = HANGING.format(root=ROOT, address=address, folder=folder, how=how, at=at)
        runner = start_runner("start", write_config(text))
        runner.wait_for("about to hang" if at == "start" else "ready:")
        return runner

    return start


@pytest.mark.parametrize("how", ["python", "c"])
def test_a_blocked_event_loop_does_not_outlive_the_deadline(
    hanging: Callable[[str, str], RunnerProcess], how: str
) -> None:
    """The signal is heard though no handler of the loop can run, and the log says why it ends."""
    runner = hanging(how, "start")
    runner.signal(signal.SIGTERM)
    assert runner.wait(within=SOON) == 1
    assert "ending at once: not stopped within shutdown_timeout (1s)" in runner.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("how", ["python", "c"])
def test_a_second_signal_ends_a_blocked_event_loop_at_once(
    write_config: WriteConfig,
    start_runner: StartRunner,
    hanging: Callable[[str, str], RunnerProcess],
    how: str,
    number: signal.Signals,
) -> None:
    """Without waiting for the deadline."""
    hanging(how, "start").end()
    write_config("extends: config.yaml\nshutdown_timeout: 1000s", name="long.yaml")
    runner = start_runner("start", write_config("", name="x").parent / "long.yaml")
    runner.wait_for("about to hang")
    runner.signal(signal.SIGTERM)
    time.sleep(0.5)  # two signals at a time are one
    runner.signal(number)
    assert runner.wait(within=SOON) == 128 + number
    assert f"ending at once: second {number.name}" in runner.output


@pytest.mark.parametrize("how", ["python", "c", "interpreter", "thread", "stubborn"])
def test_what_hangs_while_it_stops_does_not_outlive_the_deadline(
    hanging: Callable[[str, str], RunnerProcess], how: str
) -> None:
    """Also a thread that is left, and C code that holds the interpreter's lock."""
    runner = hanging(how, "stop")
    runner.signal(signal.SIGTERM)
    assert runner.wait(within=SOON) == 1
    if how != "interpreter":  # nothing of Python's runs any more, then
        assert "ending at once: not stopped within shutdown_timeout (1s)" in runner.output


def test_a_second_signal_ends_a_thread_that_is_left_at_once(
    write_config: WriteConfig,
    start_runner: StartRunner,
    hanging: Callable[[str, str], RunnerProcess],
) -> None:
    """When the event loop has already ended."""
    hanging("thread", "stop").end()
    write_config("extends: config.yaml\nshutdown_timeout: 1000s", name="long.yaml")
    runner = start_runner("start", write_config("", name="x").parent / "long.yaml")
    runner.wait_for("ready:")
    runner.signal(signal.SIGTERM)
    runner.wait_for("stopped")
    time.sleep(0.5)
    assert runner.running
    runner.signal(signal.SIGTERM)
    assert runner.wait(within=SOON) == 128 + signal.SIGTERM


def test_a_log_that_nobody_reads_does_not_keep_it(
    write_config: WriteConfig, temporal_server: TemporalServer
) -> None:
    """Its last line could wait for ever: it is not waited for."""
    folder = write_config("").parent
    text = HANGING.format(
        root=ROOT, address=temporal_server.address, folder=folder, how="stubborn", at="stop"
    )
    out, into = os.pipe()
    command = [str(BIN / "runner"), "start", str(write_config(text))]
    process = subprocess.Popen(command, stdout=into, stderr=into, cwd=ROOT)
    filling = os.open(f"/proc/self/fd/{into}", os.O_WRONLY | os.O_NONBLOCK)
    try:
        read = b""
        while b"ready:" not in read:
            read += os.read(out, 4096)
        with suppress(BlockingIOError):
            while True:
                os.write(filling, b"x")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 1
    finally:
        process.kill()
        process.wait()
        for descriptor in (out, into, filling):
            os.close(descriptor)


# Stores. ------------------------------------------------------------------------------------------

KEPT = """
temporal: {{address: "{address}"}}
dead_letters: {{path: "{folder}/dead-letters.db"}}
shutdown_timeout: 2s
listeners:
  kept:
    source: webhook
    options: {{port: {port}, path: /, verify: {{scheme: none}}}}
    {inbox}
    routes: [{{start: Basket, task_queue: nobody-works-here}}]
    unmatched: reject
  refused:
    source: webhook
    options: {{port: {port}, path: /refused, verify: {{scheme: none}}}}
    routes: [{{when: "false", start: Basket, task_queue: nobody-works-here}}]
    unmatched: reject
admin: {{port: {admin}}}
"""


class Kept:
    """A config with stores."""

    def __init__(self, write_config: WriteConfig, address: str, *, inbox: bool = True) -> None:
        self.folder = write_config("").parent
        self.port, self.admin = free_port(), free_port()
        self.inbox = self.folder / "inbox.db"
        self.dead_letters = self.folder / "dead-letters.db"
        text = KEPT.format(
            address=address,
            folder=self.folder,
            port=self.port,
            admin=self.admin,
            inbox=f'inbox: {{path: "{self.inbox}"}}' if inbox else "",
        )
        self.config = write_config(text)

    def post(self, path: str = "/") -> int:
        data = {"at": time.monotonic_ns()}
        return post_json(f"http://127.0.0.1:{self.port}{path}", data).status


@pytest.mark.parametrize("path", ["/", "/refused"])
def test_a_disk_that_hangs_does_not_keep_it(
    start_runner: StartRunner,
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    tmp_path: Path,
    path: str,
) -> None:
    """An fsync that never returns, of the inbox and of the dead letters."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a disk that hangs takes a C compiler (cc), and this machine has none")
    library, hangs = tmp_path / "fsync.so", tmp_path / "hangs"
    source = ROOT / "tests" / "faults" / "fsync.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    kept = Kept(write_config, temporal_server.address)
    env = {"LD_PRELOAD": str(library), "FSYNC_HANGS": str(hangs)}
    runner = start_runner("start", kept.config, env=env)
    runner.wait_for("ready:")
    assert kept.post(path) in {202, 422}
    hangs.touch()
    sender = threading.Thread(target=kept.post, args=(path,))
    sender.start()
    time.sleep(0.5)
    assert http("GET", f"http://127.0.0.1:{kept.admin}/livez").status == 200
    runner.signal(signal.SIGTERM)
    assert runner.wait(within=SOON + 5) == 1
    assert "ending at once: not stopped within shutdown_timeout (2s)" in runner.output
    sender.join()


def test_a_signal_ends_the_wait_for_dead_letters_that_are_in_use(
    start_runner: StartRunner, write_config: WriteConfig, temporal_server: TemporalServer
) -> None:
    """At once, and not when the lock is free; the message says which file."""
    kept = Kept(write_config, temporal_server.address)
    holder = sqlite3.connect(kept.dead_letters, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    runner = start_runner("start", kept.config)
    runner.wait_for("admin: http")
    assert runner.stop(within=4) == 0
    again = start_runner("start", kept.config)
    again.wait_for(f"dead letters {kept.dead_letters}: attempt 1 failed")
    assert f"{kept.dead_letters} is in use by another process" in again.output
    assert again.stop(within=4) == 0
    holder.close()


def test_a_signal_ends_the_wait_for_an_inbox_that_is_in_use(
    start_runner: StartRunner, write_config: WriteConfig, temporal_server: TemporalServer
) -> None:
    """The same."""
    kept = Kept(write_config, temporal_server.address)
    holder = sqlite3.connect(kept.inbox, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    runner = start_runner("start", kept.config)
    runner.wait_for("connected to")
    assert runner.stop(within=4) == 0
    holder.close()


def test_a_signal_to_a_forked_process_does_not_end_the_runner(
    hanging: Callable[[str, str], RunnerProcess],
) -> None:
    """It inherits how the runner hears signals, and is not the runner."""
    runner = hanging("fork", "start")
    runner.wait_for("the forked process was ended by signal 15")
    runner.wait_for("ready:")
    assert "stopping" not in runner.output
    assert runner.stop(within=SOON) == 0


# Files that go, as a process. ---------------------------------------------------------------------


def test_what_was_acknowledged_outlives_the_removal_of_its_file(
    start_runner: StartRunner, write_config: WriteConfig, own_temporal_server: TemporalServer
) -> None:
    """Ten 202s, the file removed, a restart: ten events; none is acknowledged into nothing."""
    own_temporal_server.start()
    own_temporal_server.wait_serving()
    kept = Kept(write_config, own_temporal_server.address)
    runner = start_runner("start", kept.config)
    runner.wait_for("ready:")
    own_temporal_server.kill()
    runner.wait_for("lost Temporal")

    def part() -> dict[str, object]:
        answer = http("GET", f"http://127.0.0.1:{kept.admin}/status")
        found: dict[str, object] = next(
            part for part in answer.json()["components"] if part["name"] == "kept"
        )
        return found

    acknowledged = sum(kept.post() == 202 for _ in range(10))
    for file in kept.folder.glob("inbox.db*"):
        file.unlink()
    until = time.monotonic() + 60
    while acknowledged < 20 and time.monotonic() < until:
        acknowledged += kept.post() == 202
    assert "was removed while it was open" in runner.output
    assert part()["restarts"] == 1
    assert part()["error"] == ""
    assert runner.stop() == 0
    with sqlite3.connect(kept.inbox) as inbox:
        (events,) = inbox.execute("SELECT count(*) FROM events").fetchone()
    inbox.close()
    assert events >= acknowledged == 20
