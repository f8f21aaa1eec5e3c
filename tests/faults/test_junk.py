"""Junk at a webhook's port: memory stays bounded, and good events are served meanwhile."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from tests.faults.ledger import ledger_of
from tests.faults.scale import SEED, scaled
from tests.faults.sender import Sender
from tests.faults.system import System, webhook
from tests.support import ROOT

SECONDS = scaled(5.0, 60.0)
RATE = 24e6
"""Bytes a second."""
MOST = 150e6
"""Bytes of resident memory."""


@pytest.mark.timeout(120 + SECONDS * 2)
async def test_junk_takes_no_memory_and_no_good_event_away(
    tmp_path: Path, figure: Callable[[str, object], None]
) -> None:
    """Bytes that are no HTTP, heads and bodies without end, slow and half-closed senders."""
    with System(tmp_path, direct=True) as system:
        system.configure(
            webhook("kept", system.port, inbox=f'{{path: "{tmp_path}/inbox.db"}}'),
            webhook("good", system.port),
        )
        runner = system.start_runner()
        system.wait_ready()
        before = _memory(runner.pid, "VmRSS")
        with Sender(f"{system.url}/good", rate=10, name="good") as sender:
            junk = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.junk"),
                *(str(system.port), str(RATE), str(SECONDS), str(SEED)),
                stdout=asyncio.subprocess.PIPE,
                cwd=ROOT,
            )
            printed, _ = await junk.communicate()
            assert junk.returncode == 0
            during = [answers[0].took for answers in sender.answers.values() if answers]
            await asyncio.to_thread(sender.finish)
        poured = json.loads(printed)
        most = _memory(runner.pid, "VmHWM")
        ledger = await ledger_of(
            system,
            sender,
            what="webhook under junk",
            listener="good",
            seconds=poured["seconds"],
            faults={"connections with junk": sum(poured["connections"].values())},
        )
        assert runner.stop() == 0
    rate = sum(poured["bytes"].values()) / poured["seconds"]
    kinds = {kind: f"{count / 1e6:.1f} MB" for kind, count in poured["bytes"].items()}
    figure("junk", f"{rate / 1e6:.1f} MB/s for {poured['seconds']:.0f} s: {kinds}")
    figure("resident memory before and at most", f"{before / 1e6:.0f} and {most / 1e6:.0f} MB")
    figure("good events meanwhile", f"p50 {median(during):.3f} s, worst {max(during):.3f} s")
    ledger.enter(figure)
    ledger.balance()
    assert most < MOST
    assert len(during) > SECONDS * 5, "good events were not served meanwhile"
    assert set(sender.statuses) == {202}


def _memory(pid: int, name: str) -> int:
    """In bytes; of Linux's /proc."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {name}")
