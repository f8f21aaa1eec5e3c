"""How soon a runner is there when its server is: alone, and as one of ten thousand."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import engines, herd
from benchmarks.measure import RUNNER, Bar, Benchmark, Contenders, Effort, Figures
from benchmarks.processes import RUNNER as RUNNER_COMMAND
from benchmarks.processes import free_port, process, wait_for_port, wait_for_ready
from benchmarks.suite import webhook


@contextlib.contextmanager
def ready(effort: Effort) -> Iterator[Contenders]:
    """A runner whose server comes up at a random moment; one turn is one run of both."""
    longest = 3.0 if effort.short else 20.0

    def turn() -> Figures:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            temporal, admin = free_port(), free_port()
            address = f"127.0.0.1:{temporal}"
            file = folder / "bench.yaml"
            text = webhook.config(address, free_port(), admin, folder, worker=True)
            file.write_text(text)
            runner = stack.enter_context(process(RUNNER_COMMAND, "start", file))
            wait_for_port(admin, runner)
            time.sleep(random.uniform(1.0, longest))
            stack.enter_context(engines.started(temporal))
            engines.wait_serving(address)
            serving = time.perf_counter()
            wait_for_ready(admin, runner, every=0.005)
            return {"s from SERVING to ready": time.perf_counter() - serving}

    yield {RUNNER: turn}


@contextlib.contextmanager
def of_a_herd(effort: Effort) -> Iterator[Contenders]:
    """The strategy that the docs recommend for a fleet."""
    turns = iter(range(1, 1000))

    def turn() -> Figures:
        seen = herd.simulate(herd.STRATEGIES[herd.FLEET], seed=next(turns))
        return {
            "s until 99% are back": seen.mostly_back(),
            "connects/s after": seen.peak_after(),
            "a second and runner": seen.peak_during(),
        }

    yield {RUNNER: turn}


_READY = "s from SERVING to ready"

BENCHMARKS = (
    Benchmark(
        "ready",
        "server up at a random moment of 1 to 20 s, default strategy",
        ready,
        (
            Bar(_READY, most=0.3, absolute=True, tolerance=None),
            Bar(_READY, most=1.0, absolute=True, at=0.99, tolerance=None),
        ),
        rounds=(30, 2),
    ),
    Benchmark(
        "herd",
        f"{herd.RUNNERS:,} runners lose their server for {herd.OUTAGE:g} s: {herd.FLEET}",
        of_a_herd,
        (
            Bar("s until 99% are back", most=7.0, absolute=True, tolerance=0),
            Bar("connects/s after", most=herd.CAPACITY, absolute=True, tolerance=0),
            Bar("a second and runner", most=1.0, absolute=True, tolerance=0),
        ),
        rounds=(3, 1),
    ),
)
