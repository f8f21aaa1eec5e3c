"""The command line: one thin module a command, errors as a line, exit codes 0, 1 and 2.

A command imports what it needs when it runs, so that `runner --help` loads no SDK.
"""

from __future__ import annotations

import sys

import typer

from temporal_runner.cli import (
    dead_letters,
    events,
    health,
    new_plugin,
    plugins,
    schema,
    start,
    validate,
    wait,
)
from temporal_runner.errors import RunnerError, UsageError

app = typer.Typer(
    name="runner",
    help="Run Temporal workers and event listeners from one YAML file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    start.start,
    validate.validate,
    wait.wait,
    health.health,
    plugins.plugins,
    schema.schema,
    new_plugin.new_plugin,
):
    app.command()(command)
app.add_typer(events.events, name="events")
app.add_typer(dead_letters.dead_letters, name="dead-letters")


def main() -> None:
    """The `runner` command: 0 done, 1 it ran and failed, 2 the config or command line is wrong."""
    try:
        app()
    except UsageError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except RunnerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
