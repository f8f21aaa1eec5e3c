"""What several commands begin with: a config file to a plan, with its warnings and its log."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from temporal_runner.cli.log import set_up_log
from temporal_runner.config.load import load
from temporal_runner.plan import Plan, make_plan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.values.redaction import redacted, remember_environment

if TYPE_CHECKING:
    from temporalio.worker import WorkflowRunner

    from temporal_runner.config.workers import WorkerSettings


def read_plan(
    config: Path,
    only: Iterable[str] = (),
    *,
    runner_of: Callable[[WorkerSettings], WorkflowRunner] | None = None,
) -> Plan:
    """The plan of a config file; its warnings go to stderr, and the log is set up as it says.

    Args:
        config: The file.
        only: Names of the workers and listeners to run; all by default.
        runner_of: What runs a worker's workflows, to see whether it can load them.

    Raises:
        UsageError: The config, a plugin that it needs or `only` is wrong.
    """
    remember_environment(os.environ)
    catalog = Catalog.installed()
    with _no_collection():
        plan = make_plan(load(config), catalog, only, runner_of=runner_of)
    for warning in plan.warnings:
        print(redacted(str(warning)), file=sys.stderr)
    for broken in catalog.broken:
        print(redacted(f"warning: {broken}"), file=sys.stderr)
    set_up_log(plan.log.level, plan.log.format)
    return plan


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Nearly all that is made of a config stays; to look for garbage in it is a third of the time.

    That is with 1,500 routes: the collector looks at all of it again and again as it grows.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
