"""`runner dead-letters`: what was rejected and kept; look at it, replay it, drop it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from temporal_runner.runtime.storage.dead_letters import DeadLetter, DeadLetters

dead_letters = typer.Typer(help="Rejected events that the runner keeps.", no_args_is_help=True)

Config = Annotated[Path, typer.Argument(help="The config file.", show_default=False)]
Ids = Annotated[list[int] | None, typer.Argument(help="Which ones.", show_default=False)]
Listener = Annotated[str | None, typer.Option(help="Only those of this listener.")]
All = Annotated[bool, typer.Option("--all", help="All of them, or all of --listener.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@dead_letters.command("list")
def list_them(config: Config, listener: Listener = None, json: Json = False) -> None:
    """Say what there is: number, time, listener, event and reason."""
    from temporal_runner.values.redaction import printable

    async def work(store: DeadLetters | None) -> None:
        letters = await store.find(listener=listener) if store else []
        if json:
            _print_json(letters)
            return
        for letter in letters:
            times = f", {letter.times} times" if letter.times > 1 else ""
            event = letter.event
            print(f"{letter.id}  {letter.rejected:%Y-%m-%d %H:%M:%S}Z  {letter.listener}{times}")
            print(printable(f"    event {event.id} of {event.source}, type {event.type}"))
            print(printable(f"    {letter.reason}"))
        print(f"{len(letters)} dead letter{'' if len(letters) == 1 else 's'}")

    _with_store(config, work)


@dead_letters.command()
def show(
    config: Config,
    ids: Annotated[list[int], typer.Argument(help="Which ones.", show_default=False)],
) -> None:
    """Print dead letters whole, as JSON."""

    async def work(store: DeadLetters | None) -> None:
        _print_json(await _chosen(store, None, ids), indent=2)

    _with_store(config, work)


@dead_letters.command()
def replay(
    config: Config, ids: Ids = None, listener: Listener = None, everything: All = False
) -> None:
    """Put dead letters through the config's routes into Temporal; what fails stays."""
    from temporal_runner.cli.prepare import read_plan
    from temporal_runner.values.redaction import printable, redacted

    wanted = _wanted(ids, everything)
    plan = read_plan(config)
    failed = 0

    async def work(store: DeadLetters | None) -> None:
        from temporal_runner.runtime.dispatch.replay import Replay

        nonlocal failed
        letters = await _chosen(store, listener, wanted)
        if store is None:
            return
        replaying = Replay(plan, store)
        for letter in letters:
            replayed = await replaying.one(letter)
            failed += bool(replayed.reason)
            if replayed.reason:
                print(printable(redacted(f"{letter.id}  stays: {replayed.reason}")))
            elif replayed.accepted and replayed.action:
                known = "Temporal had it already" if replayed.accepted.duplicate else "accepted"
                action = f"{replayed.action.kind} {replayed.action.id}"
                print(printable(f"{letter.id}  {known}: {action}"))

    _with_store(config, work)
    if failed:
        raise typer.Exit(1)


@dead_letters.command()
def drop(
    config: Config, ids: Ids = None, listener: Listener = None, everything: All = False
) -> None:
    """Forget dead letters for good."""
    wanted = _wanted(ids, everything)

    async def work(store: DeadLetters | None) -> None:
        letters = await _chosen(store, listener, wanted)
        if store is not None:
            for letter in letters:
                await store.drop(letter)
        print(f"dropped {len(letters)}")

    _with_store(config, work)


def _wanted(ids: list[int] | None, everything: bool) -> list[int] | None:
    from temporal_runner.errors import UsageError

    if bool(ids) == everything:
        raise UsageError(
            "say which: one or more numbers (see `runner dead-letters list`), or --all"
        )
    return ids or None


async def _chosen(
    store: DeadLetters | None, listener: str | None, ids: Sequence[int] | None
) -> list[DeadLetter]:
    from temporal_runner.errors import UsageError

    letters = await store.find(listener=listener, ids=ids) if store else []
    missing = sorted(set(ids or ()) - {letter.id for letter in letters})
    if missing:
        raise UsageError(f"there is no dead letter {', '.join(map(str, missing))}")
    return letters


def _with_store(config: Path, work: Callable[[DeadLetters | None], Awaitable[None]]) -> None:
    """Do something with the store; None stands for one that no runner has made yet."""
    from temporal_runner.config.load import load
    from temporal_runner.errors import RunnerError, TransientError
    from temporal_runner.runtime import loop
    from temporal_runner.runtime.storage.dead_letters import DeadLetters

    settings = load(config).settings.dead_letters

    async def run() -> None:
        if not settings.path.exists():
            await work(None)
            return
        store = DeadLetters(settings.path, max_size=settings.max_size)
        await store.open()
        try:
            await work(store)
        finally:
            await store.close()

    try:
        loop.run(run)
    except TransientError as error:
        raise RunnerError(str(error)) from error


def _print_json(letters: Sequence[DeadLetter], indent: int | None = None) -> None:
    import json

    for letter in letters:
        print(json.dumps(letter.to_dict(), indent=indent, default=str))
