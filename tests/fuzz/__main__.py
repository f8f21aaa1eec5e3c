"""`python -m tests.fuzz`: atheris on each target for a bounded time, beginning with the seeds.

atheris watches which lines an input reaches, and so goes where hypothesis does not. Each target
runs in a process of its own. What it finds is a file in `.fuzz/`: mend the cause, and put the bytes
into `seeds.py`.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

_FOUND = Path(".fuzz")
_DONE = re.compile(r"stat::number_of_executed_units: (\d+)")
_PACKAGES = ("temporal_runner", "temporal_runner_webhook", "temporal_runner_s3",
             "temporal_runner_azure", "yaml", "jwt")  # fmt: skip
"""Whose lines are watched."""


def main() -> int:
    """Fuzz the targets that are named, or all; 1 where one found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="their names; all by default")
    parser.add_argument("--seconds", type=int, default=20, help="for each of them")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        _fuzz(given.targets[0], given.seconds)
    names = given.targets or _names()
    results = [_in_a_process(name, given.seconds) for name in names]
    print(f"{sum(results)} of {len(names)} targets found something; see {_FOUND}/")
    return 1 if any(results) else 0


def _names() -> list[str]:
    from tests.fuzz.targets import TARGETS

    return list(TARGETS)


def _in_a_process(name: str, seconds: int) -> bool:
    command = [sys.executable, "-m", "tests.fuzz", "--one", "--seconds", str(seconds), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120)
    output = done.stdout + done.stderr
    executed = _DONE.search(output)
    how_many = executed[1] if executed else "?"
    print(f"{name}: {how_many} runs, {'FOUND SOMETHING' if done.returncode else 'nothing found'}")
    if done.returncode:
        print(output[-5000:])
    return done.returncode != 0


def _fuzz(name: str, seconds: int) -> None:
    """Fuzz one target; ends the process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=list(_PACKAGES)):
        from tests.fuzz.seeds import seeds_of
        from tests.fuzz.targets import TARGETS
    plain = re.sub(r"\W+", "-", name)
    corpus = _FOUND / "corpus" / plain
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds_of(name)):
        if len(seed) <= 20_000:
            (corpus / f"seed-{index}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-max_len=20000",
               "-print_final_stats=1", f"-artifact_prefix={_FOUND}/{plain}-"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
