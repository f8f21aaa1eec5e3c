"""`python -m benchmarks`: runs the suite, prints and writes what it measured.

Exits with 1 where a bar was not reached.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import Effort, Result, run
from benchmarks.suite import BENCHMARKS

FULL = Effort(rounds=5, seconds=3.0, short=False)
SHORT = Effort(rounds=3, seconds=1.0, short=True)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("-k", metavar="WORD", default="", help="only those with this in their name")
    parser.add_argument("--short", action="store_true", help="for CI: fewer rounds, lower bars")
    parser.add_argument("--rounds", type=int, help="turns of each contender")
    parser.add_argument("--json", type=Path, default=Path(".runner/benchmarks.json"))
    parser.add_argument("--list", action="store_true", help="say what there is")
    options = parser.parse_args()
    effort = SHORT if options.short else FULL
    if options.rounds:
        effort = Effort(options.rounds, effort.seconds, effort.short)
    chosen = [
        one for one in BENCHMARKS if options.k in one.name and (one.in_short or not options.short)
    ]
    if options.list:
        print("\n".join(f"{one.name:<20} {one.title}" for one in BENCHMARKS))
        return 0
    if not chosen:
        parser.error(f"no benchmark has {options.k!r} in its name; --list tells what there is")
    results = []
    for benchmark in chosen:
        result = run(benchmark, effort)
        results.append(result)
        print("\n".join(result.lines()), flush=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(_report(results), indent=1) + "\n")
    missed = [f"{one.benchmark.name} {bar.figure}" for one in results for bar in one.missed()]
    print(f"\nwritten: {options.json}")
    reached = sum(len(one.benchmark.bars) for one in results) - len(missed)
    print(
        f"{reached} bars reached, {len(missed)} missed{': ' if missed else ''}{', '.join(missed)}"
    )
    return 1 if missed else 0


def _report(results: list[Result]) -> dict[str, object]:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "python": platform.python_version(),
        "temporalio": version("temporalio"),
        "benchmarks": [result.as_json() for result in results],
    }


if __name__ == "__main__":
    sys.exit(main())
