"""`runner health`: for a container's health check."""

from __future__ import annotations

from typing import Annotated

import typer

from temporal_runner.cli import READY


def health(
    url: Annotated[str, typer.Option(help="The runner's readiness endpoint.")] = READY,
) -> None:
    """Ask a running runner whether it is ready."""
    from temporal_runner.cli.health_probe import ask

    raise typer.Exit(ask(url))
