"""Kills and network faults, at moments and of kinds that a seed draws."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.faults.proxy import GOOD, Network, Proxy
from tests.faults.scale import SEED
from tests.faults.system import System
from tests.support import wait_until

NETWORKS: Mapping[str, Network] = {
    "refuses": Network(refuses=True),
    "stalls": Network(stalls=True),
    "slow": Network(rate=20_000, latency=0.1),
    "loses requests": Network(loses="to server"),
    "loses answers": Network(loses="from server"),
}
"""Beside these, all connections are reset: `RESET`."""
RESET = "resets"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens again and again.

    Attributes:
        times: How often.
        happen: Does it once, and mends it; is given what draws its details, and tells its name.
    """

    times: int
    happen: Callable[[random.Random], Awaitable[str]]


class Storm:
    """Several faults at the same time, each at its own moments.

    Attributes:
        counts: How often each happened so far.
    """

    def __init__(self, lasting: float, *faults: Fault) -> None:
        """Let nothing happen yet.

        Args:
            lasting: Seconds, over which the moments are spread. It takes longer where a fault's
                next moment comes before it was mended: each happens as often as it is to.
            faults: What happens.
        """
        self.counts: Counter[str] = Counter()
        self._lasting = lasting
        self._faults = faults

    async def blow(self) -> None:
        """Let all of it happen; in the end all is mended."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as faults:
            for number, fault in enumerate(self._faults):
                draws = random.Random(f"{SEED} {number}")
                faults.create_task(self._repeat(fault, draws, began))

    async def _repeat(self, fault: Fault, draws: random.Random, began: float) -> None:
        moments = sorted(draws.uniform(0.0, self._lasting) for _ in range(fault.times))
        for moment in moments:
            await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
            self.counts[await fault.happen(draws)] += 1


def server_killed(system: System, times: int, *, away: tuple[float, float]) -> Fault:
    """SIGKILL of Temporal, which starts again after some seconds."""

    async def happen(draws: random.Random) -> str:
        system.kill_server()
        await asyncio.sleep(draws.uniform(*away))
        await asyncio.to_thread(system.start_server)
        return "Temporal killed"

    return Fault(times, happen)


def runner_killed(system: System, times: int, *, away: tuple[float, float]) -> Fault:
    """SIGKILL of the runner, at its start too; another starts after some seconds."""

    async def happen(draws: random.Random) -> str:
        assert system.runner is not None
        assert system.runner.running, f"the runner ended by itself:\n{system.runner.output}"
        await asyncio.to_thread(system.kill_runner)
        await asyncio.sleep(draws.uniform(*away))
        system.start_runner()
        return "runner killed"

    return Fault(times, happen)


def network_fails(proxy: Proxy, times: int, *, lasting: tuple[float, float]) -> Fault:
    """One of `NETWORKS` for some seconds, or a reset of all connections."""

    async def happen(draws: random.Random) -> str:
        kind = draws.choice([*NETWORKS, RESET])
        if kind == RESET:
            proxy.reset()
        else:
            proxy.behave(NETWORKS[kind])
            await asyncio.sleep(draws.uniform(*lasting))
            proxy.behave(GOOD)
        return f"network {kind}"

    return Fault(times, happen)


async def calm(system: System) -> None:
    """All is mended: wait until the runner is ready, and its inboxes are empty."""
    await asyncio.to_thread(system.wait_ready)
