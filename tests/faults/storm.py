"""Kills and network faults, at moments and of kinds that a seed draws."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import cycle

from tests.faults.proxy import Network, Proxy
from tests.faults.scale import SEED
from tests.faults.system import System

NETWORKS: Mapping[str, Network] = {
    "refuses": Network(refuses=True),
    "stalls": Network(stalls=True),
    "slow": Network(rate=20_000, latency=0.1),
    "loses requests": Network(loses="to server"),
    "loses answers": Network(loses="from server"),
}
"""Beside these, all connections are reset: `RESET`."""
RESET = "resets"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens again and again.

    Attributes:
        name: What it is called in the ledger.
        times: How often.
        happen: Does it once, and mends it; is given what draws its details, and tells them.
    """

    name: str
    times: int
    happen: Callable[[random.Random], Awaitable[str]]


class Storm:
    """Several faults at the same time, each at its own moments: one in each equal part of it.

    Attributes:
        counts: How often each happened so far.
    """

    def __init__(self, lasting: float, say: Say, *faults: Fault) -> None:
        """Let nothing happen yet.

        Args:
            lasting: Seconds. It takes longer where a fault's next moment comes before it was
                mended: each happens as often as it is to.
            say: Shows what happens.
            faults: What happens.
        """
        self.counts: Counter[str] = Counter()
        self._lasting = lasting
        self._say = say
        self._faults = faults

    async def blow(self) -> None:
        """Let all of it happen; in the end all is mended."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as faults:
            for number, fault in enumerate(self._faults):
                draws = random.Random(f"{SEED} {number}")
                faults.create_task(self._repeat(fault, draws, began))

    async def _repeat(self, fault: Fault, draws: random.Random, began: float) -> None:
        part = self._lasting / max(1, fault.times)
        for number in range(fault.times):
            moment = began + draws.uniform(number, number + 1) * part
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            at = time.monotonic() - began
            details = await fault.happen(draws)
            self.counts[fault.name] += 1
            until = time.monotonic() - began
            self._say(f"{at:6.1f} s to {until:6.1f} s: {fault.name} {details}")


def server_killed(system: System, times: int, *, away: tuple[float, float]) -> Fault:
    """SIGKILL of Temporal, which starts again after some seconds."""

    async def happen(draws: random.Random) -> str:
        system.kill_server()
        await asyncio.sleep(draws.uniform(*away))
        await asyncio.to_thread(system.start_server)
        return ""

    return Fault("Temporal killed", times, happen)


def runner_killed(system: System, times: int, *, away: tuple[float, float]) -> Fault:
    """SIGKILL of the runner, at its start too; another starts after some seconds."""

    async def happen(draws: random.Random) -> str:
        assert system.runner is not None
        assert system.runner.running, f"the runner ended by itself:\n{system.runner.output}"
        await asyncio.to_thread(system.kill_runner)
        await asyncio.sleep(draws.uniform(*away))
        system.start_runner()
        return ""

    return Fault("runner killed", times, happen)


def network_fails(
    proxy: Proxy, times: int, *, lasting: tuple[float, float], name: str = "network"
) -> Fault:
    """One of `NETWORKS` after the other for some seconds each, or a reset of all connections."""
    kinds = [*NETWORKS, RESET]
    random.Random(SEED).shuffle(kinds)
    turn = cycle(kinds)

    async def happen(draws: random.Random) -> str:
        kind = next(turn)
        if kind == RESET:
            await asyncio.to_thread(proxy.reset)
        else:
            await asyncio.to_thread(proxy.behave, NETWORKS[kind])
            await asyncio.sleep(draws.uniform(*lasting))
            await asyncio.to_thread(proxy.behave)
        return kind

    return Fault(f"{name} failed", times, happen)
