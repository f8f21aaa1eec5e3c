"""`runner events`: tools for single events, outside a running listener."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from temporal_runner.events.event import Accepted
    from temporal_runner.plan import ListenerPlan, Plan
    from temporal_runner.routing.actions import Action
    from temporal_runner.routing.routes import Decision

events = typer.Typer(help="Tools for single events.", no_args_is_help=True)


@events.callback()
def _tools() -> None:
    """Tools for single events."""


@events.command()
def send(
    config: Annotated[Path, typer.Argument(help="The config file.", show_default=False)],
    listener: Annotated[str, typer.Argument(help="Whose routes to use.", show_default=False)],
    file: Annotated[
        Path, typer.Argument(help="A CloudEvent as JSON, or an array of them.", show_default=False)
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and why. No network.")
    ] = False,
) -> None:
    """Put a saved event through a listener's routes into Temporal."""
    from temporal_runner.cli.prepare import read_plan
    from temporal_runner.events.saved import read_events
    from temporal_runner.routing.explain import outline, reasons
    from temporal_runner.routing.routes import route
    from temporal_runner.values.redaction import printable

    plan = read_plan(config)
    chosen = _listener(plan, listener)
    saved = read_events(file)
    actions: list[Action] = []
    refused = False
    for event in saved:
        decision = route(chosen.routes, event)
        print(printable(f"event {event.id} of {event.source}, type {event.type}"))
        for reason in reasons(chosen.routes, decision, event):
            print(printable(f"  {reason}"))
        if decision.action is None:
            refused |= _say_unrouted(chosen, decision)
            continue
        would = "would " if dry_run else ""
        print(would + "\n".join(map(printable, outline(decision.action).split("\n"))))
        actions.append(decision.action)
    if actions and not dry_run:
        from temporal_runner.runtime import loop

        loop.run(lambda: _send(actions, plan))
    if refused:
        raise typer.Exit(1)


async def _send(actions: list[Action], plan: Plan) -> None:
    from temporal_runner.runtime.dispatch.sender import Sender

    sender = Sender(plan)
    for action in actions:
        _say_accepted(action, await sender.send(action))


def _listener(plan: Plan, name: str) -> ListenerPlan:
    from temporal_runner.errors import UsageError
    from temporal_runner.values.wording import suggest

    found = {listener.name: listener for listener in plan.listeners}
    if name in found:
        return found[name]
    hint = suggest(name, found, otherwise=f"there are: {', '.join(found) or 'none'}")
    raise UsageError(f"{plan.file.name}: there is no listener {name!r}{hint}")


def _say_accepted(action: Action, accepted: Accepted) -> None:
    from temporal_runner.routing.explain import as_json
    from temporal_runner.values.redaction import printable

    if accepted.duplicate:
        said = "duplicate: Temporal has it already, nothing new was started"
    else:
        run = f" (run {accepted.run_id})" if accepted.run_id else ""
        said = f"accepted{run}"
    if accepted.completed:
        said += f", result: {as_json(accepted.result)}"
    print(printable(f"event {action.event.id}: {said}"))


def _say_unrouted(listener: ListenerPlan, decision: Decision) -> bool:
    """Say what the listener does with an event that no route takes; true where it refuses it."""
    if decision.errors:
        print("rejected: a route cannot be evaluated for it")
    elif listener.settings.unmatched == "reject":
        print("rejected: no route wants it (unmatched: reject)")
    else:
        print("ignored: no route wants it")
        return False
    return True
