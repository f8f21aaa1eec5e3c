"""`make quickstart`'s config, on ports of the test's own: the embedded server and what it keeps."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.conftest import WriteConfig
from tests.support import ROOT, RunnerProcess, free_port, http, post_json, run_runner, wait_until

StartRunner = Callable[..., RunnerProcess]


class Quickstart:
    """The shipped file with other ports."""

    def __init__(self, write_config: WriteConfig, folder: Path) -> None:
        self.folder = folder
        self.temporal, self.ui, self.hook, self.admin = (free_port() for _ in range(4))
        self.config = write_config(f"""
            extends: {ROOT}/configs/quickstart.yaml
            temporal:
              address: 127.0.0.1:{self.temporal}
              dev_server: {{ui_port: {self.ui}}}
            listeners: {{shop: {{options: {{port: {self.hook}}}}}}}
            admin: {{port: {self.admin}}}
        """)

    def ready(self) -> bool:
        return http("GET", f"http://127.0.0.1:{self.admin}/readyz").status == 200

    def order(self, number: str) -> int:
        return post_json(f"http://127.0.0.1:{self.hook}/orders", {"order": number}).status


@pytest.fixture
def quickstart(write_config: WriteConfig, tmp_path: Path) -> Quickstart:
    """The quickstart, in a folder of its own."""
    return Quickstart(write_config, tmp_path)


def listening(port: int) -> bool:
    """Whether anything answers at a port."""
    return http("GET", f"http://127.0.0.1:{port}/").status != 0


async def test_the_quickstart_does_what_the_readme_says(
    quickstart: Quickstart, start_runner: StartRunner
) -> None:
    """Says where things are; the curl line starts a workflow once; Ctrl-C ends it all, exit 0."""
    runner = start_runner("start", quickstart.config, cwd=quickstart.folder)
    runner.wait_for("Ctrl-C stops it.")
    assert f"http://127.0.0.1:{quickstart.ui}" in runner.output
    assert re.search(r"try: curl -i http://127\.0\.0\.1:\d+/orders ", runner.output)
    assert http("GET", f"http://127.0.0.1:{quickstart.ui}/").status == 200
    assert quickstart.order("A-1") == 202
    assert quickstart.order("A-1") == 200
    client = await Client.connect(f"127.0.0.1:{quickstart.temporal}")
    assert await client.get_workflow_handle("order-A-1").result() == "TRACK-A-1"
    found = [one.id async for one in client.list_workflows("WorkflowType = 'FulfilOrder'")]
    assert found == ["order-A-1"]
    runner.signal(signal.SIGINT)
    assert runner.wait() == 0
    for port in (quickstart.temporal, quickstart.ui, quickstart.hook, quickstart.admin):
        assert not listening(port)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_ctrl_c_ends_make_quickstart_with_exit_0(quickstart: Quickstart) -> None:
    """On a terminal, where Ctrl-C is a signal to make, too."""
    terminal, of_make = pty.openpty()
    make = subprocess.Popen(
        ["make", "quickstart", f"CONFIG={quickstart.config}"],
        cwd=ROOT,
        stdin=of_make,
        stdout=of_make,
        stderr=of_make,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(of_make)
    output = b""

    def printed(text: bytes) -> bool:
        nonlocal output
        with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
            if select.select([terminal], [], [], 0)[0]:
                output += os.read(terminal, 4096)
        return text in output

    try:
        wait_until(lambda: printed(b"Ctrl-C stops it."))
        os.write(terminal, b"\x03")
        wait_until(lambda: printed(b"stopped\r\n"))
        assert make.wait(30) == 0
    finally:
        os.close(terminal)  # which hangs up on what still runs
        make.wait(30)
    assert not listening(quickstart.ui)


async def test_a_restart_keeps_the_workflows(
    quickstart: Quickstart, start_runner: StartRunner
) -> None:
    """Also after SIGKILL of the runner, which takes its server with it (on Linux)."""
    runner = start_runner("start", quickstart.config, cwd=quickstart.folder)
    wait_until(quickstart.ready)
    assert quickstart.order("A-1") == 202
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    wait_until(lambda: not listening(quickstart.ui), what="the embedded server to end")
    assert (quickstart.folder / ".runner" / "temporal.db").is_file()

    again = start_runner("start", quickstart.config, cwd=quickstart.folder)
    wait_until(quickstart.ready)
    assert quickstart.order("A-1") == 200
    client = await Client.connect(f"127.0.0.1:{quickstart.temporal}")
    assert await client.get_workflow_handle("order-A-1").result() == "TRACK-A-1"
    assert again.stop() == 0


def test_a_port_that_is_taken_is_named(
    quickstart: Quickstart, start_runner: StartRunner, write_config: WriteConfig
) -> None:
    """A second quickstart on the same ports ends with a line, and leaves nothing running."""
    first = start_runner("start", quickstart.config, cwd=quickstart.folder)
    wait_until(quickstart.ready)
    second = start_runner("start", quickstart.config, cwd=quickstart.folder)
    assert second.wait() == 1
    assert "cannot listen at 127.0.0.1" in second.output
    third = write_config(f"extends: config.yaml\nadmin: {{port: {free_port()}}}", name="third.yaml")
    code, output = run_runner("start", third, "--only", "orders")
    assert code == 1
    assert f"something listens at 127.0.0.1:{quickstart.temporal} already" in output
    assert quickstart.ready()
    assert first.stop() == 0
