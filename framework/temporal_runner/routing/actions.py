"""What is to be done in Temporal for one event: a route with every expression resolved.

One class an action. `match` tells them apart, and the type checker that none is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from temporal_runner.config.fields import SearchAttributeType
from temporal_runner.config.routes import StartActivityRoute, StartedIfAbsent, StartRoute
from temporal_runner.events.event import Event


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkflowOptions:
    """How a route starts workflows: one object for all of its events.

    Attributes:
        workflow: The workflow's type.
        task_queue: Its task queue.
        settings: Its time-outs and policies, as the config has them.
    """

    workflow: str
    task_queue: str
    settings: StartRoute | StartedIfAbsent


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStart:
    """The workflow that an action starts, or starts first where it does not run.

    Attributes:
        options: What every start of the route has.
        args: Its arguments.
        memo: More entries for its memo.
        search_attributes: By name, the type and the value as that.
        fairness_key: Of its priority.
    """

    options: WorkflowOptions
    args: Sequence[Any]
    memo: Mapping[str, Any]
    search_attributes: Mapping[str, tuple[SearchAttributeType, Any]]
    fairness_key: str | None


@dataclass(frozen=True, slots=True)
class _ForEvent:
    """What every action has.

    Attributes:
        kind: The action's name in a config, such as `signal_with_start`.
        name: What it names: the workflow's, signal's, update's or activity's type.
        id: The Workflow ID, or a standalone activity's.
        args: The arguments of what it names.
        event: The event that it is done for.
        listener: The listener that received it.
        connection: Which connection carries it out; empty for `temporal`.
    """

    kind: ClassVar[str]
    name: str
    id: str
    args: Sequence[Any]
    event: Event
    listener: str
    connection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(_ForEvent):
    """Start a workflow.

    Attributes:
        settings: The route's section.
        start: The workflow.
        duplicate_args: The arguments of `on_duplicate`'s signal.
    """

    kind = "start"
    settings: StartRoute
    start: WorkflowStart
    duplicate_args: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Signal(_ForEvent):
    """Signal a workflow that runs."""

    kind = "signal"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalWithStart(_ForEvent):
    """Signal a workflow, and start it first where it does not run.

    Attributes:
        start: The workflow.
    """

    kind = "signal_with_start"
    start: WorkflowStart


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(_ForEvent):
    """Update a workflow that runs.

    Attributes:
        wait_for_result: How long to wait for the update's result; None is not at all.
    """

    kind = "update"
    wait_for_result: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateWithStart(_ForEvent):
    """Update a workflow, and start it first where it does not run.

    Attributes:
        start: The workflow.
        wait_for_result: How long to wait for the update's result; None is not at all.
    """

    kind = "update_with_start"
    start: WorkflowStart
    wait_for_result: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartActivity(_ForEvent):
    """Start an activity on its own, without a workflow.

    Attributes:
        settings: The route's section.
        fairness_key: Of its priority.
    """

    kind = "start_activity"
    settings: StartActivityRoute
    fairness_key: str | None


Action = Start | Signal | SignalWithStart | Update | UpdateWithStart | StartActivity
