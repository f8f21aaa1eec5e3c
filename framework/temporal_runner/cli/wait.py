"""`runner wait`: for scripts and containers that start before Temporal does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

_COMMAND = "temporal_runner.command"


class ThenCommand(TyperCommand):
    """A command line that may end in `-- COMMAND …`; what is there is no argument of our own.

    The context is click's, which newer versions of typer have within themselves.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the command off before the rest is read: CONFIG may be left out."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What the usage line shows."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND ...]"]


def wait(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Argument(help="A config file, for its connections.", show_default=False)
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="host:port; by default the config's or TEMPORAL_ADDRESS.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="The namespace; by default the config's.")
    ] = None,
    timeout: Annotated[
        str, typer.Option(help="How long to wait, such as 90s or 5m; none is without an end.")
    ] = "60s",
    health_check: Annotated[bool, typer.Option("--health-check", help="Make one attempt.")] = False,
) -> None:
    """Wait until Temporal is serving and the namespace can be used.

    After -- may stand a command: then this process becomes it.
    """
    from temporal_runner.cli.log import set_up_log
    from temporal_runner.config.load import load
    from temporal_runner.config.model import LogSettings
    from temporal_runner.errors import UsageError
    from temporal_runner.runtime import loop
    from temporal_runner.runtime.connection.wait import wait_for_temporal
    from temporal_runner.values.durations import parse_duration

    try:
        seconds = None if timeout == "none" else parse_duration(timeout).total_seconds()
    except ValueError as error:
        raise UsageError(f"--timeout {timeout}: {error}, or none") from None
    command = ctx.meta[_COMMAND]
    runner: Any = ctx.find_root().command
    _load_for(command, runner)
    loaded = load(config) if config else None
    settings = loaded.settings.log if loaded else LogSettings()
    set_up_log("error" if health_check else settings.level, settings.format)
    loop.run(
        lambda: wait_for_temporal(
            loaded, address=address, namespace=namespace, timeout=seconds, once=health_check
        )
    )
    if command:
        _become(command, runner)


def _load_for(command: list[str], runner: Any) -> None:
    """Load all that `runner start` loads now, while Temporal is not there yet.

    It is some seconds of work where several containers of a machine do it, all at the moment when
    Temporal is there; and a mistake in the config shows at once.
    """
    if command[:2] != ["runner", "start"]:
        return
    import temporal_runner.runtime.supervisor  # noqa: F401
    from temporal_runner.config.load import load
    from temporal_runner.plan import make_plan
    from temporal_runner.plugin.catalog import Catalog

    given = runner.commands["start"].make_context("runner start", command[2:]).params
    make_plan(load(given["config"]), Catalog.installed(), given["only"] or ())


def _become(command: list[str], runner: Any) -> None:
    """Go on as another command, in the same process; ours need not be loaded again."""
    if command[0] == "runner":
        runner(command[1:], prog_name="runner")
    from temporal_runner.errors import UsageError

    try:
        os.execvp(command[0], command)  # noqa: S606  # what stands on the command line
    except OSError as error:
        raise UsageError(f"error: {command[0]}: {error.strerror}") from None
