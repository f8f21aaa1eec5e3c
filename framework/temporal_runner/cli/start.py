"""`runner start`: the way from a config file to a running system, in four lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from temporal_runner.runtime.supervisor import Supervisor


def start(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The config file.")],
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Run only this worker or listener; may be repeated."),
    ] = None,
) -> None:
    """Run the workers and listeners of a config, or the named ones."""
    from temporal_runner.cli.prepare import read_plan
    from temporal_runner.runtime import loop
    from temporal_runner.runtime.supervisor import Supervisor

    plan = read_plan(config, only or ())
    supervisor = Supervisor(plan, on_ready=announce)
    raise typer.Exit(loop.run(supervisor.run))


def announce(supervisor: Supervisor) -> None:
    """Say on stdout what runs, and where to look."""
    from temporal_runner.values.redaction import redacted

    rows = [
        (component.noun, component.name, redacted(component.describe()))
        for component in supervisor.components()
    ]
    if supervisor.admin is not None:
        admin = supervisor.admin
        rows.append(("admin", "", f"http://{admin.host}:{admin.port}/readyz"))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    print(f"\nready: {supervisor.plan.file.name}")
    for noun, name, text in rows:
        first, *more = text.splitlines() or [""]
        print(f"  {noun:<{widths[0]}}  {name:<{widths[1]}}  {first}")
        for line in more:
            print(f"  {'':<{sum(widths) + 2}}  {line}")
    print("Ctrl-C stops it.\n", flush=True)
