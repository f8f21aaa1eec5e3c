"""`runner validate`: everything that can be known without the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def validate(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The config file.")],
) -> None:
    """Check a config: all errors at once, with file:line:column. No network."""
    from temporal_runner.cli.prepare import read_plan
    from temporal_runner.runtime.workers.sdk_arguments import workflow_runner

    plan = read_plan(config, runner_of=workflow_runner)
    routes = sum(len(listener.routes) for listener in plan.listeners)
    parts = [(len(plan.workers), "worker"), (len(plan.listeners), "listener"), (routes, "route")]
    counted = ", ".join(f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in parts)
    print(f"{config}: valid: {counted}")
