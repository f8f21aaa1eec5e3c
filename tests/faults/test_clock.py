"""Clocks that jump: the runner's wall clock is days off, and nothing is lost and nothing stops."""

from __future__ import annotations

import asyncio
import mmap
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.ledger import ledger_of
from tests.faults.sender import Sender
from tests.faults.system import System, webhook
from tests.support import wait_until

DAY = 24 * 3600


class Clock:
    """The wall clock of a process that loads it."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("a clock that jumps takes a C compiler (cc), and this machine has none")
        library, file = folder / "clock.so", folder / "offset"
        source = Path(__file__).parent / "clock.c"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._offset = mmap.mmap(opened.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(file)}

    def jump_to(self, seconds: int) -> None:
        """Be so many seconds ahead of the true time."""
        self._offset[:] = struct.pack("q", seconds)


async def test_a_clock_that_jumps_loses_nothing_and_stops_nothing(
    tmp_path: Path, figure: Callable[[str, object], None]
) -> None:
    """Days ahead at the start, then days behind, and ahead again while events wait for Temporal.

    An inbox measures by the wall clock for how long its oldest event waits, since that has to
    hold across restarts: after a jump it may call itself stuck, and then is answered 503.
    """
    clock = Clock(tmp_path)
    began = time.monotonic()
    with System(tmp_path, direct=True) as system:
        inbox = f'{{path: "{tmp_path}/inbox.db"}}'
        system.configure(
            webhook("kept", system.port, inbox=inbox),
            webhook("direct", system.port),
            env=clock.environment,
        )
        clock.jump_to(10 * DAY)
        system.start_runner()
        system.wait_ready()
        with (
            Sender(f"{system.url}/kept", rate=10, name="kept") as kept,
            Sender(f"{system.url}/direct", rate=10, name="direct") as direct,
        ):
            await more(kept, direct)
            clock.jump_to(-10 * DAY)
            await more(kept, direct)
            assert system.ready()
            system.kill_server()
            await until(lambda: system.status("kept")["inbox"]["events"] > 5)
            assert not kept.answered([503])
            clock.jump_to(0)
            await until(lambda: "stuck" in system.status("kept")["error"])
            await asyncio.to_thread(system.start_server)
            await more(kept, direct)
            await until(system.ready)
            await asyncio.to_thread(kept.finish)
            await asyncio.to_thread(direct.finish)
        await until(lambda: system.status("kept")["inbox"]["events"] == 0)
        ledgers = [
            await ledger_of(
                system,
                sender,
                what=f"clock jumps, {way}",
                listener=name,
                seconds=time.monotonic() - began,
                faults={"clock jumped": 3, "Temporal killed": 1},
            )
            for name, way, sender in (("kept", "inbox", kept), ("direct", "no inbox", direct))
        ]
        assert system.runner is not None
        assert system.runner.stop() == 0, system.runner.output
    for ledger in ledgers:
        ledger.enter(figure)
        ledger.balance()


async def more(*senders: Sender) -> None:
    """Wait until each had five more events acknowledged."""
    enough = [len(sender.acknowledged) + 5 for sender in senders]
    await until(
        lambda: all(
            len(sender.acknowledged) >= most for sender, most in zip(senders, enough, strict=True)
        )
    )


async def until(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_until, condition)
