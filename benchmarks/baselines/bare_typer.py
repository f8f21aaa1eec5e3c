"""A bare typer application with the runner's commands, which do nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Run Temporal workers and event listeners from one YAML file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Config = Annotated[Path, typer.Argument(help="The config file.")]


@app.command()
def start(config: Config, only: list[str] | None = None) -> None:
    """Run the workers and listeners of a config, or the named ones."""


@app.command()
def validate(config: Config) -> None:
    """Say what is wrong with a config."""


@app.command()
def wait(config: Config) -> None:
    """Wait until Temporal can be used."""


@app.command()
def health(url: Annotated[str, typer.Option(help="The endpoint.")] = "") -> None:
    """Ask a running runner whether it is ready."""


@app.command()
def plugins(json: bool = False) -> None:
    """List the plugins."""


@app.command()
def schema() -> None:
    """Print the schema."""


@app.command()
def new_plugin(name: str) -> None:
    """Write a new plugin."""


events = typer.Typer(help="Tools for single events.", no_args_is_help=True)
app.add_typer(events, name="events")


@events.command()
def send(config: Config, listener: str, file: Path, dry_run: bool = False) -> None:
    """Put a saved event through."""


dead_letters = typer.Typer(help="Rejected events.", no_args_is_help=True)
app.add_typer(dead_letters, name="dead-letters")


@dead_letters.command("list")
def list_them(config: Config) -> None:
    """List them."""


@dead_letters.command()
def show(config: Config, number: int) -> None:
    """Show one."""


@dead_letters.command()
def replay(config: Config, number: int) -> None:
    """Replay one."""


@dead_letters.command()
def drop(config: Config, number: int) -> None:
    """Drop one."""


if __name__ == "__main__":
    app()
