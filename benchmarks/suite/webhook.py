"""Webhooks: from a signed request to a started (or completed) workflow."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

from benchmarks import engines
from benchmarks.load import PATH, SECRET, SIGNATURE
from benchmarks.measure import BASELINE, RUNNER, Bar, Benchmark, Contenders, Effort, Figures
from benchmarks.processes import (
    EVERYWHERE,
    OTHERS,
    Process,
    free_port,
    module,
    output_of,
    process,
    wait_for_port,
    wait_for_ready,
)
from benchmarks.processes import RUNNER as RUNNER_COMMAND
from benchmarks.workflows import TASK_QUEUE

_runs = count()


def config(address: str, port: int, admin: int, folder: Path, *, worker: bool = False) -> str:
    """A runner's config (JSON is YAML): what the hand-written webhook does."""
    written = {
        "import_paths": [str(Path(__file__).parents[2])],
        "temporal": {"address": address},
        "admin": {"port": admin},
        "listeners": {
            "shop": {
                "source": "webhook",
                "options": {
                    "port": port,
                    "path": PATH,
                    "verify": {"scheme": "hmac", "header": SIGNATURE, "secrets": [SECRET]},
                },
                "routes": [
                    {
                        "start": "TakeOrder",
                        "task_queue": TASK_QUEUE,
                        "id": "order-${{ event.data.id }}",
                        "args": ["${{ event.data }}"],
                    }
                ],
            }
        },
        "dead_letters": {"path": str(folder / "dead-letters.db")},
    }
    if worker:
        orders = {"task_queue": TASK_QUEUE, "workflows": ["benchmarks.workflows:TakeOrder"]}
        written["workers"] = {"orders": orders}
    return json.dumps(written)


@contextlib.contextmanager
def started(
    file: Path, admin: int, *, on: set[int] = EVERYWHERE, env: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """A runner with a config, ready."""
    with process(RUNNER_COMMAND, "start", file, on=on, env=env) as one:
        wait_for_ready(admin, one)
        yield one


@contextlib.contextmanager
def runner(
    address: str, port: int, *, on: set[int] = EVERYWHERE, worker: bool = False
) -> Iterator[Process]:
    """A runner with the webhook, ready."""
    admin = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "bench.yaml")
        file.write_text(config(address, port, admin, file.parent, worker=worker))
        with started(file, admin, on=on) as one:
            yield one


@contextlib.contextmanager
def by_hand(
    address: str, port: int, *, on: set[int] = EVERYWHERE, worker: bool = False
) -> Iterator[Process]:
    """The hand-written one, ready."""
    more = ["--worker"] if worker else []
    with module("baselines.fastapi_webhook", port, address, *more, on=on) as one:
        wait_for_port(port, one)
        yield one


def _turn(port: int, of: Process, effort: Effort, *, on: set[int]) -> Callable[[], Figures]:
    def turn() -> Figures:
        before = of.cpu
        prefix = f"{of.pid}-{next(_runs)}"
        told = output_of("load", port, "--seconds", effort.seconds, "--prefix", prefix, on=on)
        if told["failed"]:
            raise RuntimeError(f"{told['failed']:g} of {told['requests']:g} requests failed")
        return {
            "requests/s": told["rate"],
            "p50 ms": told["p50"],
            "p99 ms": told["p99"],
            "CPU us/request": (of.cpu - before) / told["requests"] * 1e6,
        }

    return turn


@contextlib.contextmanager
def on_the_stub(effort: Effort) -> Iterator[Contenders]:
    """Both webhooks against the engine that accepts at once, which has a core with the load."""
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(engines.stub(on=OTHERS))
        ports = free_port(), free_port()
        theirs = stack.enter_context(by_hand(address, ports[0]))
        ours = stack.enter_context(runner(address, ports[1]))
        turns = {
            BASELINE: _turn(ports[0], theirs, effort, on=OTHERS),
            RUNNER: _turn(ports[1], ours, effort, on=OTHERS),
        }
        for turn in turns.values():
            turn()  # what is done once is done
        yield turns


BENCHMARKS = (
    Benchmark(
        "webhook-stub",
        "webhook to start on the stub engine: FastAPI and uvicorn, the runner",
        on_the_stub,
        (
            # Not reached at the last measurement (performance.md); the short form is there to see
            # what breaks, and not what is known.
            Bar("requests/s", least=1.8, tolerance=0.8),
            Bar("p99 ms", most=0.5),
        ),
    ),
)
