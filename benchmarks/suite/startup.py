"""What a command costs before it works, and a runner while it does not: time and memory."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import engines
from benchmarks.measure import BASELINE, RUNNER, Bar, Benchmark, Contenders, Effort, Figures
from benchmarks.processes import ROOT, Process, free_port
from benchmarks.processes import RUNNER as RUNNER_COMMAND
from benchmarks.suite import webhook

_LISTENERS, _ROUTES = 300, 5
"""Of the config that is validated: 1,500 routes in all."""


def _lasts(*command: object, code: int = 0) -> Callable[[], Figures]:
    """The wall time of a command, in milliseconds."""

    def turn() -> Figures:
        began = time.perf_counter()
        done = subprocess.run(
            [str(part) for part in command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            check=False,
        )
        lasted = time.perf_counter() - began
        if done.returncode != code:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr.decode()}")
        return {"ms": lasted * 1000}

    return turn


@contextlib.contextmanager
def of_help(effort: Effort) -> Iterator[Contenders]:
    """`--help`."""
    yield {
        BASELINE: _lasts(sys.executable, "-m", "benchmarks.baselines.bare_typer", "--help"),
        RUNNER: _lasts(RUNNER_COMMAND, "--help"),
    }


@contextlib.contextmanager
def of_health(effort: Effort) -> Iterator[Contenders]:
    """`runner health` of a runner that is ready."""
    with tempfile.TemporaryDirectory() as folder, engines.stub() as address:
        admin = free_port()
        file = Path(folder, "bench.yaml")
        file.write_text(webhook.config(address, free_port(), admin, Path(folder)))
        with webhook.started(file, admin):
            url = f"http://127.0.0.1:{admin}/readyz"
            yield {
                BASELINE: _lasts(sys.executable, "-c", "import http.client"),
                RUNNER: _lasts(RUNNER_COMMAND, "health", "--url", url),
            }


def _many() -> str:
    lines = ["listeners:"]
    for listener in range(_LISTENERS):
        lines += [
            f"  listener-{listener:03}:",
            "    source: webhook",
            "    options:",
            f"      path: /hooks/{listener}",
            "      verify: {scheme: github, secrets: [benchmark]}",
            "    routes:",
        ]
        for route in range(_ROUTES):
            lines += [
                f"      - when: event.type == 'kind-{route}' && event.data.amount > {listener}",
                f"        start: Workflow{route}",
                f"        task_queue: queue-{listener}",
                f"        id: order-{route}-${{{{ event.data.order }}}}",
                '        args: ["${{ event.data }}"]',
                "        retry_policy: {maximum_attempts: 3}",
            ]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def of_validate(effort: Effort) -> Iterator[Contenders]:
    """A large config: what an empty one takes is taken off."""
    with tempfile.TemporaryDirectory() as folder:
        large, empty = Path(folder, "large.yaml"), Path(folder, "empty.yaml")
        large.write_text(_many())
        empty.write_text("{}\n")
        code = (
            "import time, yaml\n"
            f"text = open({str(large)!r}).read()\n"
            "began = time.perf_counter()\n"
            "yaml.load(text, yaml.CSafeLoader)\n"
            "print((time.perf_counter() - began) * 1000)\n"
        )
        validated = _lasts(RUNNER_COMMAND, "validate", large)
        nothing = _lasts(RUNNER_COMMAND, "validate", empty, code=2)  # nothing to run

        def loader() -> Figures:
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            )
            return {"ms": float(done.stdout)}

        yield {
            BASELINE: loader,
            RUNNER: lambda: {"ms": validated()["ms"] - nothing()["ms"]},
        }


@contextlib.contextmanager
def of_memory(effort: Effort) -> Iterator[Contenders]:
    """A worker and a webhook, idle."""

    def resident(started: contextlib.AbstractContextManager[Process]) -> Figures:
        with started as one:
            time.sleep(1)
            return {"RSS MiB": one.memory}

    with engines.dev_server() as address:
        yield {
            BASELINE: lambda: resident(webhook.by_hand(address, free_port(), worker=True)),
            RUNNER: lambda: resident(webhook.runner(address, free_port(), worker=True)),
        }


BENCHMARKS = (
    Benchmark(
        "help",
        "runner --help: a bare typer application, the runner",
        of_help,
        (Bar("ms", most=1.2),),
        rounds=(15, 5),
    ),
    Benchmark(
        "health",
        "runner health: python -c 'import http.client', the runner",
        of_health,
        (Bar("ms", most=1.3),),
        rounds=(15, 5),
    ),
    Benchmark(
        "validate",
        f"{_LISTENERS} listeners, {_LISTENERS * _ROUTES} routes: PyYAML's C loader, validate",
        of_validate,
        (Bar("ms", most=10),),
        rounds=(5, 3),
    ),
    Benchmark(
        "memory",
        "resident memory of a worker and a webhook, idle: by hand, the runner",
        of_memory,
        (Bar("RSS MiB", most=1.2),),
        rounds=(5, 3),
    ),
)
