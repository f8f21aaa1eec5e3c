"""Queues: from a message to a started workflow and a deleted message."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import emulators, engines
from benchmarks.measure import BASELINE, RUNNER, Bar, Benchmark, Contenders, Effort, Figures
from benchmarks.processes import (
    MEASURED,
    OTHERS,
    Process,
    free_port,
    module,
    wait_for_port,
)
from benchmarks.suite import webhook


def _config(folder: Path, admin: int, address: str, source: str, options: dict[str, Any]) -> Path:
    """A runner's config: a workflow for each message."""
    route = {"start": "TakeUpload", "task_queue": "orders", "args": ["${{ event.data }}"]}
    config = {
        "temporal": {"address": address},
        "admin": {"port": admin},
        "listeners": {"uploads": {"source": source, "options": options, "routes": [route]}},
        "dead_letters": {"path": str(folder / "dead-letters.db")},
    }
    file = folder / "bench.yaml"
    file.write_text(json.dumps(config))
    return file


@contextlib.contextmanager
def sqs(effort: Effort) -> Iterator[Contenders]:
    """Both consumers, each with a queue of its own; only one queue gives messages at a time."""
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(engines.stub(on=OTHERS))
        port = free_port()
        queues = stack.enter_context(module("stub_queue", port, on=OTHERS))
        wait_for_port(port, queues)
        endpoint = f"http://127.0.0.1:{port}"
        url = f"{endpoint}/000000000000"
        theirs = stack.enter_context(
            module("baselines.sqs_loop", f"{url}/by-hand", address, on=MEASURED, env=emulators.KEYS)
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        admin = free_port()
        options = {
            "queue_url": f"{url}/by-runner",
            "endpoint_url": endpoint,
            "region": emulators.REGION,
        }
        file = _config(folder, admin, address, "s3", options)
        ours = stack.enter_context(webhook.started(file, admin, on=MEASURED, env=emulators.KEYS))

        def told(what: str, queue: str) -> int:
            with urllib.request.urlopen(f"{endpoint}/{what}/{queue}", timeout=10) as answer:
                return int(answer.read())

        def contender(queue: str, of: Process) -> Callable[[], Figures]:
            def turn() -> Figures:
                told("give", queue)
                time.sleep(0.5)  # in full swing
                deleted, began, cpu = told("give", queue), time.perf_counter(), of.cpu
                time.sleep(effort.seconds)
                deleted = told("give", queue) - deleted
                lasted, cpu = time.perf_counter() - began, of.cpu - cpu
                told("hold", queue)
                time.sleep(0.5)
                return {"messages/s": deleted / lasted, "CPU us/message": cpu / deleted * 1e6}

            return turn

        turns = {BASELINE: contender("by-hand", theirs), RUNNER: contender("by-runner", ours)}
        for turn in turns.values():
            turn()
        yield turns


def of_emulator(
    emulator: Callable[..., contextlib.AbstractContextManager[Callable[[str], emulators.Queue]]],
    source: str,
) -> Callable[[Effort], contextlib.AbstractContextManager[Contenders]]:
    """A loop that only empties the queue, and a listener; the emulator has a core of its own."""

    @contextlib.contextmanager
    def prepare(effort: Effort) -> Iterator[Contenders]:
        # Of a thousand and more Azurite takes ten times as long for each. And once a minute it
        # looks for what it can forget, for 25 s after 4,800: all rounds are over before that.
        amount = 300
        with contextlib.ExitStack() as stack:
            address = stack.enter_context(engines.stub(on=MEASURED))
            make = stack.enter_context(emulator(on=OTHERS))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            admin = free_port()
            theirs, ours = make("by-hand"), make("by-runner")
            emptying = module("baselines.drain", *theirs.arguments, on=MEASURED, env=emulators.KEYS)
            stack.enter_context(emptying)
            file = _config(folder, admin, address, source, ours.options)
            stack.enter_context(webhook.started(file, admin, on=MEASURED, env=emulators.KEYS))

            def contender(queue: emulators.Queue) -> Callable[[], Figures]:
                def turn() -> Figures:
                    queue.fill(amount)
                    first = _falls_to(queue, amount * 0.9)
                    last = _falls_to(queue, amount * 0.1)
                    _falls_to(queue, 0)
                    return {"messages/s": (first[1] - last[1]) / (last[0] - first[0])}

                return turn

            turns = {BASELINE: contender(theirs), RUNNER: contender(ours)}
            for turn in turns.values():
                turn()
            yield turns

    return prepare


def _falls_to(queue: emulators.Queue, amount: float) -> tuple[float, int]:
    """Wait until no more messages are left than that: when that was, and how many."""
    until = time.monotonic() + 60
    while (left := queue.count()) > amount:
        if time.monotonic() > until:
            raise TimeoutError(f"{left} messages are left")
        time.sleep(0.05)
    return time.perf_counter(), left


BENCHMARKS = (
    Benchmark(
        "sqs-stub",
        "SQS message to start on the stub engine: a boto3 loop, the runner",
        sqs,
        (Bar("messages/s", least=2.0),),
    ),
    Benchmark(
        "sqs-moto",
        "SQS by moto: a loop that only receives and deletes, a listener that starts workflows",
        of_emulator(emulators.moto, "s3"),
        (Bar("messages/s", least=0.85),),
        in_short=False,
    ),
    Benchmark(
        "azure-azurite",
        "Azurite: a loop that only receives and deletes, a listener that starts workflows",
        of_emulator(emulators.azurite, "azure"),
        (Bar("messages/s", least=0.85),),
        in_short=False,
    ),
)
