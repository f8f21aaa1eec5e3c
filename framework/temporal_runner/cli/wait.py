"""`runner wait`: for scripts and containers that start before Temporal does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def wait(
    config: Annotated[
        Path | None, typer.Argument(help="A config file, for its connections.", show_default=False)
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="host:port; by default the config's or TEMPORAL_ADDRESS.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="The namespace; by default the config's.")
    ] = None,
    timeout: Annotated[str, typer.Option(help="How long to wait, such as 90s or 5m.")] = "60s",
    health_check: Annotated[bool, typer.Option("--health-check", help="Make one attempt.")] = False,
) -> None:
    """Wait until Temporal is serving and the namespace can be used."""
    from temporal_runner.cli.prepare import set_up_log
    from temporal_runner.errors import UsageError
    from temporal_runner.runtime import loop
    from temporal_runner.runtime.waiting import wait_for_temporal
    from temporal_runner.values import parse_duration

    try:
        seconds = parse_duration(timeout).total_seconds()
    except ValueError as error:
        raise UsageError(f"--timeout {timeout}: {error}") from None
    set_up_log("error" if health_check else "info")
    loop.run(
        lambda: wait_for_temporal(
            config, address=address, namespace=namespace, timeout=seconds, once=health_check
        )
    )
