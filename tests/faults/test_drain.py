"""SIGTERM under load, again and again: the runner ends in time, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from tests.faults.ledger import ledger_of
from tests.faults.scale import SEED, scaled
from tests.faults.sender import Sender
from tests.faults.system import System, webhook
from tests.support import wait_until

TIMES = scaled(3, 50)
RATE = 10.0
DEADLINE = 30.0
"""Seconds: the config's shutdown_timeout."""
LATER = '{start: NotedLater, id: "${{ event.id }}", args: ["${{ event.id }}"]}'


@pytest.mark.timeout(120 + TIMES * 20)
async def test_sigterm_under_load_loses_nothing_and_ends_in_time(
    tmp_path: Path, figure: Callable[[str, object], None]
) -> None:
    """Exit code 0 each time; what was acknowledged has its workflow, with an inbox and without.

    Each tenth time Temporal is killed just before: the SDK's polls end within their own backoff.
    """
    draws = random.Random(SEED)
    took: dict[bool, list[float]] = {False: [], True: []}
    with System(tmp_path, direct=True) as system:
        inbox = f'{{path: "{tmp_path}/inbox.db"}}'
        system.configure(
            webhook("kept", system.port, inbox=inbox, route=LATER),
            webhook("direct", system.port, route=LATER),
        )
        system.start_runner()
        began = time.monotonic()
        with (
            Sender(f"{system.url}/kept", rate=RATE, name="kept") as kept,
            Sender(f"{system.url}/direct", rate=RATE, name="direct") as direct,
        ):
            for number in range(TIMES):
                await asyncio.to_thread(system.wait_ready)
                await asyncio.sleep(draws.uniform(0.0, 0.5))
                alone = number % 10 == 9
                if alone:
                    system.kill_server()
                    await asyncio.sleep(draws.uniform(0.0, 2.0))
                took[alone].append(await asyncio.to_thread(_stop, system))
                system.start_runner()
                if alone:
                    await asyncio.to_thread(system.start_server)
            await asyncio.to_thread(kept.finish)
            await asyncio.to_thread(direct.finish)
        seconds = time.monotonic() - began
        await asyncio.to_thread(system.wait_ready)
        await asyncio.to_thread(
            wait_until, lambda: system.status("kept")["inbox"]["events"] == 0, what="the inbox"
        )
        ledgers = [
            await ledger_of(
                system,
                sender,
                what=f"SIGTERM, {way}",
                listener=name,
                seconds=seconds,
                faults={"SIGTERM": TIMES, "Temporal killed": len(took[True])},
            )
            for name, way, sender in (
                ("kept", "with an inbox", kept),
                ("direct", "without one", direct),
            )
        ]
        assert system.runner is not None
        assert system.runner.stop() == 0
    for alone, way in ((False, ""), (True, ", Temporal just killed")):
        if not took[alone]:
            continue
        figure(
            f"from SIGTERM to exit 0 under {RATE * 2:g} events/s{way}",
            f"{len(took[alone])} times: p50 {median(took[alone]):.2f} s,"
            f" worst {max(took[alone]):.2f} s",
        )
    for ledger in ledgers:
        ledger.enter(figure)
        ledger.balance()


def _stop(system: System) -> float:
    """SIGTERM; the seconds to the end."""
    assert system.runner is not None
    began = time.monotonic()
    code = system.runner.stop(within=DEADLINE + 10)
    took = time.monotonic() - began
    assert code == 0, system.runner.output
    assert "connections did not end within" not in system.runner.output, "a request was waited for"
    assert took < DEADLINE
    system.runner.end()
    return took
