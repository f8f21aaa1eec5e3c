"""What is to be done in Temporal for one event: a route with every expression resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from temporal_runner.config.routes import RouteSettings, StartedWorkflow
from temporal_runner.events.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedBy:
    """The workflow that an action starts, or starts first where it does not run.

    Attributes:
        workflow: Its type.
        task_queue: Its task queue.
        args: Its arguments.
        memo: More entries for its memo.
        search_attributes: By name, the type (None: told from the value) and the value.
        settings: Its time-outs and policies.
    """

    workflow: str
    task_queue: str
    args: Sequence[Any]
    memo: Mapping[str, Any]
    search_attributes: Mapping[str, tuple[str | None, Any]]
    settings: StartedWorkflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What is to be done in Temporal for one event: a route with every expression resolved.

    Attributes:
        kind: The action's name in a config, such as `signal_with_start`.
        name: What it names: the workflow's, signal's, update's or activity's type.
        id: The Workflow ID, or a standalone activity's.
        args: The arguments of what it names.
        event: The event that it is done for.
        listener: The listener that received it.
        connection: Which connection carries it out; empty for `temporal`.
        settings: The route's other options, as the config has them.
        start: The workflow to start, for the actions that start one.
        fairness_key: Of the priority, resolved.
        duplicate_args: The arguments of `on_duplicate`'s signal.
    """

    kind: str
    name: str
    id: str
    args: Sequence[Any]
    event: Event
    listener: str
    connection: str
    settings: RouteSettings
    start: StartedBy | None = None
    fairness_key: str | None = None
    duplicate_args: Sequence[Any] = ()
