"""The commands as one typer application: one thin module each.

A command imports what it needs when it runs, so that `runner --help` loads no SDK.
"""

from __future__ import annotations

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
    app.command(cls=wait.ThenCommand if command is wait.wait else None)(command)
app.add_typer(events.events, name="events")
app.add_typer(dead_letters.dead_letters, name="dead-letters")
