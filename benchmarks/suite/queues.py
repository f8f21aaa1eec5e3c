"""SQS: from a message to a started workflow and a deleted message."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import engines
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

_AWS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}


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
            module("baselines.sqs_loop", f"{url}/by-hand", address, on=MEASURED, env=_AWS)
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        admin = free_port()
        file = folder / "bench.yaml"
        config = {
            "temporal": {"address": address},
            "admin": {"port": admin},
            "listeners": {
                "uploads": {
                    "source": "s3",
                    "options": {
                        "queue_url": f"{url}/by-runner",
                        "endpoint_url": endpoint,
                        "region": "eu-west-1",
                    },
                    "routes": [
                        {
                            "start": "TakeUpload",
                            "task_queue": "orders",
                            "args": ["${{ event.data }}"],
                        }
                    ],
                }
            },
            "dead_letters": {"path": str(folder / "dead-letters.db")},
        }
        file.write_text(json.dumps(config))
        ours = stack.enter_context(webhook.started(file, admin, on=MEASURED, env=_AWS))

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


BENCHMARKS = (
    Benchmark(
        "sqs-stub",
        "SQS message to start on the stub engine: a boto3 loop, the runner",
        sqs,
        (Bar("messages/s", least=2.0),),
    ),
)
