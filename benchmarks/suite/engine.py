"""Against a real dev server, where the engine is the limit: starts, and workflows completed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from temporalio.client import Client

from benchmarks import engines
from benchmarks.measure import BASELINE, RUNNER, Bar, Benchmark, Contenders, Effort, Figures
from benchmarks.processes import Process, free_port, module, output_of, wait_for_pollers
from benchmarks.suite import webhook
from benchmarks.workflows import Reckon

_runs = count()


def _completed(effort: Effort) -> int:
    return 100 if effort.short else 400


@contextlib.contextmanager
def starts(effort: Effort) -> Iterator[Contenders]:
    """Starts, 32 in flight: by the SDK in a loop, and through a webhook."""
    with engines.dev_server() as address:
        port = free_port()

        def by_sdk() -> Figures:
            prefix = f"sdk-{next(_runs)}"
            told = output_of("drive", address, "--prefix", prefix, "--seconds", effort.seconds)
            return {"starts/s": told["rate"], "p50 ms": told["p50"], "p99 ms": told["p99"]}

        def by_webhook() -> Figures:
            prefix = f"hook-{next(_runs)}"
            told = output_of("load", port, "--seconds", effort.seconds, "--prefix", prefix)
            if told["failed"]:
                raise RuntimeError(f"{told['failed']:g} requests failed")
            return {"starts/s": told["rate"], "p50 ms": told["p50"], "p99 ms": told["p99"]}

        with webhook.runner(address, port):
            yield {BASELINE: by_sdk, RUNNER: by_webhook}


@contextlib.contextmanager
def completed(effort: Effort) -> Iterator[Contenders]:
    """From webhook to completed workflow, each with an engine of its own."""
    with contextlib.ExitStack() as stack:

        def contender(
            start: Callable[[str, int], contextlib.AbstractContextManager[Process]],
        ) -> Callable[[], Figures]:
            address = stack.enter_context(engines.dev_server())
            port = free_port()
            one = stack.enter_context(start(address, port))
            wait_for_pollers(address, "orders")

            def turn() -> Figures:
                before = one.cpu
                told = output_of(
                    "load", port, "--prefix", f"r{next(_runs)}", "--amount", _completed(effort),
                    "--completed", address,
                )  # fmt: skip
                return {
                    "completed/s": told["rate"],
                    "CPU us each": (one.cpu - before) / told["requests"] * 1e6,
                }

            return turn

        turns = {
            BASELINE: contender(lambda address, port: webhook.by_hand(address, port, worker=True)),
            RUNNER: contender(lambda address, port: webhook.runner(address, port, worker=True)),
        }
        for turn in turns.values():
            turn()
        yield turns


@contextlib.contextmanager
def worker_of(address: str, folder: Path, worker: dict[str, Any]) -> Iterator[Process]:
    """A runner with one worker, ready."""
    admin = free_port()
    config = {
        "import_paths": [str(Path(__file__).parents[2])],
        "temporal": {"address": address},
        "admin": {"port": admin},
        "workers": {"orders": worker},
        "dead_letters": {"path": str(folder / "dead-letters.db")},
    }
    file = folder / "bench.yaml"
    file.write_text(json.dumps(config))
    with webhook.started(file, admin) as one:
        yield one


@contextlib.contextmanager
def workers(effort: Effort) -> Iterator[Contenders]:
    """A worker by hand, a worker of the runner; each with a task queue of its own."""
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(engines.dev_server())
        by_hand = stack.enter_context(module("baselines.worker", address, "by-hand"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        orders = {"task_queue": "by-runner", "workflows": ["benchmarks.workflows:TakeOrder"]}
        runner = stack.enter_context(worker_of(address, folder, orders))

        def contender(queue: str, one: Process) -> Callable[[], Figures]:
            wait_for_pollers(address, queue)

            def turn() -> Figures:
                before = one.cpu
                told = output_of(
                    "drive", address, "--prefix", f"{queue}-{next(_runs)}", "--queue", queue,
                    "--amount", _completed(effort),
                )  # fmt: skip
                return {
                    "completed/s": told["rate"],
                    "CPU us each": (one.cpu - before) / told["requests"] * 1e6,
                }

            return turn

        turns = {BASELINE: contender("by-hand", by_hand), RUNNER: contender("by-runner", runner)}
        for turn in turns.values():
            turn()
        yield turns


@contextlib.contextmanager
def processes(effort: Effort) -> Iterator[Contenders]:
    """Activities that are Python's alone: a worker in one process, and in two."""
    amount = 30 if effort.short else 90
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(engines.dev_server())

        def contender(number: int) -> Callable[[], Figures]:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            queue = f"in-{number}"
            worker = {
                "task_queue": queue,
                "workflows": ["benchmarks.workflows:Reckon"],
                "activities": ["benchmarks.workflows:reckon"],
                # No more than are at work: what one has in hand the other cannot take.
                "max_concurrent_activities": 2,
                "processes": number,
            }
            stack.enter_context(worker_of(address, folder, worker))

            def turn() -> Figures:
                began = time.perf_counter()
                asyncio.run(_reckon(address, queue, amount))
                return {"activities/s": amount / (time.perf_counter() - began)}

            return turn

        turns = {BASELINE: contender(1), RUNNER: contender(2)}
        for turn in turns.values():
            turn()
        yield turns


async def _reckon(address: str, queue: str, amount: int) -> None:
    client = await Client.connect(address)
    await client.execute_workflow(
        Reckon.run, amount, id=f"reckon-{queue}-{next(_runs)}", task_queue=queue
    )


BENCHMARKS = (
    Benchmark(
        "webhook-dev",
        "webhook to start on a dev server, 32 in flight: the SDK in a loop, the runner",
        starts,
        (Bar("starts/s", least=0.95), Bar("p50 ms", most=1.15)),
        rounds=(7, 3),
    ),
    Benchmark(
        "completed",
        "webhook to completed workflow in one process: FastAPI with a worker, the runner",
        completed,
        (Bar("completed/s", least=1.25),),
        rounds=(7, 3),
    ),
    Benchmark(
        "worker",
        "workflows completed: a worker by hand, a worker of the runner",
        workers,
        (Bar("completed/s", least=0.98),),
        rounds=(7, 3),
    ),
    Benchmark(
        "processes",
        "activities of 50 ms of Python: a worker with processes: 1, with processes: 2",
        processes,
        (Bar("activities/s", least=1.5),),
    ),
)
