"""Backoff strategies: against both libraries of that name, and what a wrong one is told."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Generator
from importlib import metadata
from typing import Any

import pytest

from temporal_runner.errors import PluginError
from temporal_runner.retry.backoff import Backoff, BuildWaits, NoOptions, Timing
from tests.installed import CACHE, install, skip_or_fail
from tests.support import ROOT

SUCCESSOR = "3.0.0"


def test_the_contract_holds_on_the_successor_of_the_library() -> None:
    """python-backoff installs the same folder: who has it instead has the same strategies."""
    folder = CACHE / f"python-backoff-{SUCCESSOR}"
    if not (folder / f"python_backoff-{SUCCESSOR}.dist-info").is_dir():
        done = install(folder, f"python-backoff=={SUCCESSOR}")
        if done.returncode:
            skip_or_fail(f"python-backoff cannot be installed: {done.stderr.strip()[-300:]}")
    contract = "tests/retry/test_backoff_contract.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", contract, "-q", "-n0", "--confcutdir", "tests/retry"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder), "EXPECTED_BACKOFF": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_the_folder_of_the_library_is_one_distributions() -> None:
    """Two that install `backoff/` would each break the other when one is removed or renewed."""
    assert metadata.packages_distributions()["backoff"] == ["backoff"]
    requires = metadata.requires("temporal-runner") or []
    assert [one for one in requires if "backoff" in one] == ["backoff>=2.2"]


def backoff(build: BuildWaits) -> Backoff:
    return Backoff("odd", build, Timing(1, 30), NoOptions(), "none")


def yields(*values: Any) -> BuildWaits:
    def build(timing: Timing, options: NoOptions) -> Generator[Any, Any, None]:
        yield 0.0
        yield from values

    return build


@pytest.mark.parametrize(
    ("value", "delay"),
    [(-5, 0.0), (math.inf, 30.0), (-math.inf, 0.0), (31, 30.0), (2, 2.0), ("1.5", 1.5)],
)
def test_delays_are_forced_into_bounds(value: Any, delay: float) -> None:
    """What a strategy yields beyond 0 and max_delay is cut: it never waits longer."""
    assert backoff(yields(value)).delays().next() == delay


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "did not yield a number of seconds: TypeError"),
        ("soon", "did not yield a number of seconds: ValueError"),
        (10**400, "did not yield a number of seconds: OverflowError"),
        (math.nan, "yielded nan"),
    ],
)
def test_what_is_no_number_names_the_strategy(value: Any, problem: str) -> None:
    """A strategy that yields what is no number of seconds is named, with what it did."""
    with pytest.raises(PluginError, match=f"the backoff strategy 'odd' {problem}"):
        backoff(yields(value)).delays().next(OSError())


def test_a_strategy_that_ends_is_named() -> None:
    """A strategy has to go on for ever; one that ends is an error that says so."""
    delays = backoff(yields(1)).delays()
    assert delays.next() == 1
    with pytest.raises(PluginError, match="the backoff strategy 'odd' ended"):
        delays.next()


def test_a_strategy_that_fails_is_named() -> None:
    """Whatever a plugin's strategy raises becomes an error with its name and the cause."""

    def build(timing: Timing, options: NoOptions) -> Generator[float, Any, None]:
        yield 0.0
        raise LookupError("no such step")

    with pytest.raises(PluginError, match=r"'odd' .*LookupError: no such step"):
        backoff(build).delays().next()


@pytest.mark.parametrize("built", [None, [1, 2, 3], iter([1, 2, 3])])
def test_what_is_no_generator_names_the_strategy(built: Any) -> None:
    """A strategy's `build` has to return a wait generator; anything else is an error."""
    with pytest.raises(PluginError, match="'odd' does not build a wait generator: Attr"):
        backoff(lambda timing, options: built).delays()


def test_the_error_reaches_the_strategy() -> None:
    """A strategy may wait longer for one error than for another: it is sent each."""

    def build(timing: Timing, options: NoOptions) -> Generator[float, Any, None]:
        error = yield 0.0
        while True:
            error = yield 9.0 if isinstance(error, PermissionError) else 1.0

    delays = backoff(build).delays()
    found = [delays.next(error) for error in (OSError(), PermissionError(), OSError(), None)]
    assert found == [1.0, 9.0, 1.0, 1.0]


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 1e-9, 1e20])
@pytest.mark.parametrize("name", ["base_delay", "max_delay"])
def test_a_delay_has_a_length(name: str, seconds: float) -> None:
    """A delay of no length, an endless one and what is no number are refused by name."""
    with pytest.raises(ValueError, match=f"{name}: must be longer than 0"):
        Timing(**{"base_delay": 1.0, "max_delay": 30.0, name: seconds})


@pytest.mark.parametrize("factor", [0, 0.5, -2, math.nan, math.inf])
def test_delays_do_not_shrink(factor: float) -> None:
    """A factor below 1 is refused, as the config refuses it."""
    with pytest.raises(ValueError, match="factor: must be 1 or more"):
        Timing(1, 30, factor)
