"""What a worker's options bring on one machine: each against the default, in turns.

    python -m benchmarks.defaults            prints the table for docs/how-to/tune-workers.md
    python -m benchmarks.defaults WORD       only the rows with this in their name

All work on one dev server, each on a task queue of its own, with 32 starts in flight.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import engines
from benchmarks.measure import BASELINE, RUNNER, Benchmark, Contenders, Effort, Figures, run
from benchmarks.processes import free_port, output_of
from benchmarks.suite.engine import worker_of
from benchmarks.suite.webhook import runner

_AMOUNT = 100
_runs = count()
_BOTH = ("workflow_task_poller_behavior", "activity_task_poller_behavior")


def _pollers(**behavior: Any) -> dict[str, Any]:
    return dict.fromkeys(_BOTH, behavior)


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "nothing (the same again: the noise)": {},
    "2 pollers": _pollers(type="simple_maximum", maximum=2),
    "10 pollers": _pollers(type="simple_maximum", maximum=10),
    "20 pollers": _pollers(type="simple_maximum", maximum=20),
    "autoscaling pollers": _pollers(type="autoscaling"),
    "4 workflow tasks at a time": {"max_concurrent_workflow_tasks": 4},
    "10 workflow tasks at a time": {"max_concurrent_workflow_tasks": 10},
    "20 workflow tasks at a time": {"max_concurrent_workflow_tasks": 20},
    "no cache": {"max_cached_workflows": 0},
    "a cache of 10": {"max_cached_workflows": 10},
    "no eager activities": {"disable_eager_activity_execution": True},
    "no sandbox": {"sandbox": False},
    "2 processes": {"processes": 2},
}
"""Against a worker that sets none of them: 5 pollers of each kind, a cache of 1000, eager
activities, the sandbox."""


def _option(changes: Mapping[str, Any]) -> Callable[[Effort], Any]:
    @contextlib.contextmanager
    def prepare(effort: Effort) -> Iterator[Contenders]:
        with contextlib.ExitStack() as stack:
            address = stack.enter_context(engines.dev_server())

            def contender(queue: str, options: Mapping[str, Any]) -> Callable[[], Figures]:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                worker = {
                    "task_queue": queue,
                    "workflows": ["benchmarks.workflows:TakeAndPack"],
                    "activities": ["benchmarks.workflows:pack"],
                    **options,
                }
                one = stack.enter_context(worker_of(address, folder, worker))

                def turn() -> Figures:
                    before = one.cpu
                    told = output_of(
                        "drive", address, "--prefix", f"{queue}-{next(_runs)}", "--queue", queue,
                        "--amount", _AMOUNT, "--workflow", "TakeAndPack",
                    )  # fmt: skip
                    return {
                        "completed/s": told["rate"],
                        "CPU ms each": (one.cpu - before) / _AMOUNT * 1e3,
                    }

                return turn

            yield _warm({BASELINE: contender("default", {}), RUNNER: contender("own", changes)})

    return prepare


@contextlib.contextmanager
def _eager_start(effort: Effort) -> Iterator[Contenders]:
    """A listener with its worker in the same process, against one with it in another."""
    with contextlib.ExitStack() as stack:

        def contender(*, together: bool) -> Callable[[], Figures]:
            address = stack.enter_context(engines.dev_server())
            port = free_port()
            stack.enter_context(runner(address, port, worker=together))
            if not together:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                worker = {
                    "task_queue": "orders",
                    "workflows": ["benchmarks.workflows:TakeOrder"],
                }
                stack.enter_context(worker_of(address, folder, worker))

            def turn() -> Figures:
                told = output_of(
                    "load", port, "--prefix", f"r{next(_runs)}", "--amount", 2 * _AMOUNT,
                    "--completed", address,
                )  # fmt: skip
                return {"completed/s": told["rate"]}

            return turn

        yield _warm({BASELINE: contender(together=False), RUNNER: contender(together=True)})


def _warm(turns: Contenders) -> Contenders:
    for turn in turns.values():
        turn()
    return turns


def main(word: str = "") -> None:
    """Measure, and print a table in Markdown."""
    rows: dict[str, Callable[[Effort], Any]] = {
        name: _option(changes) for name, changes in OPTIONS.items()
    }
    rows["listener and worker in one process (eager start)"] = _eager_start
    print(
        "| instead of the default | workflows/s | | CPU of the worker |\n| --- | --- | --- | --- |"
    )
    for name, prepare in rows.items():
        if word not in name:
            continue
        result = run(Benchmark(name, "", prepare, ()), Effort(5, 3.0, False))
        rates = result.ratios("completed/s")
        cpu = result.ratios("CPU ms each")
        print(
            f"| {name} | {statistics.median(rates):.2f} times"
            f" | {min(rates):.2f} to {max(rates):.2f}"
            f" | {f'{statistics.median(cpu):.2f} times' if cpu else ''} |",
            flush=True,
        )
        theirs = statistics.median(result.values(BASELINE, "completed/s"))
        print(f"{name}: default {theirs:.0f}/s", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
