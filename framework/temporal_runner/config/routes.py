"""A route's section: which events, and the one action that is taken for them.

The key that names the action (`start`, `signal`, …) decides which other keys there may be. `args`
always belong to what that key names; a workflow that is started along with a signal or an update
has its own in `start_args`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from temporal_runner.config.fields import SearchAttributeType, Section
from temporal_runner.values.durations import Duration, PositiveDuration
from temporal_runner.values.texts import Text
from temporal_runner.values.wording import nearest

ACTIONS = (
    "start",
    "signal",
    "signal_with_start",
    "update",
    "update_with_start",
    "start_activity",
)


TEMPLATES = (
    "id",
    "args",
    "start_args",
    "memo",
    "search_attributes",
    "priority",
    "on_duplicate",
)
"""The keys of a route with `${{ … }}` in their values."""


class RetryPolicySettings(Section):
    """Temporal's own retries of a workflow or an activity."""

    initial_interval: PositiveDuration | None = None
    """The first delay (Temporal: 1s)."""
    backoff_coefficient: Annotated[float, Field(ge=1)] | None = None
    """By how much it grows (Temporal: 2)."""
    maximum_interval: PositiveDuration | None = None
    """No delay is longer (Temporal: 100 times the first)."""
    maximum_attempts: Annotated[int, Field(ge=0)] | None = None
    """How many attempts; 0 is no limit."""
    non_retryable_error_types: tuple[Text, ...] = ()
    """Error types that are not tried again."""


class PrioritySettings(Section):
    """Temporal's task priority and fairness."""

    priority_key: Annotated[int, Field(ge=1, le=5)] | None = None
    """1 is most urgent."""
    fairness_key: Text | None = None
    """Whose share this counts against, such as ${{ event.data.tenant }}; a number will do. Above
    the 64 bytes that Temporal takes it is a digest."""
    fairness_weight: Annotated[float, Field(gt=0)] | None = None
    """The size of that share."""


class SearchAttributeSettings(Section):
    """A search attribute whose values are converted to one type, where they have one reading as it.

    Keyword and Text from numbers and true or false; Int from 42.0 and "42"; Double from 42 and
    "4.2"; Bool from "true"; Datetime from RFC 3339 with a zone and from Unix seconds; KeywordList
    from a list of any of these. All else rejects the event, with what to write instead.
    """

    type: SearchAttributeType
    """Temporal's type, as the namespace has it."""
    value: Any
    """The value, mostly an expression. null leaves the attribute out."""


def _search_attribute(raw: Any) -> str:
    return "typed" if isinstance(raw, dict | SearchAttributeSettings) else "plain"


SearchAttribute = Annotated[
    Annotated[SearchAttributeSettings, Tag("typed")]
    | Annotated[str | bool | int | float | tuple[str, ...], Tag("plain")],
    Discriminator(_search_attribute),
]


class SignalDuplicate(Section):
    """What is sent to the workflow that is there already."""

    signal: Text
    """The signal's name."""
    args: tuple[Any, ...] = ()
    """The signal's arguments."""


class RouteSettings(Section):
    """What every route has."""

    when: Text | None = None
    """A CEL expression over `event` that is true for the events of this route; all by default."""
    connection: Text | None = None
    """One of `connections`; by default the listener's."""
    id: Text | None = None
    """The Workflow ID (or Activity ID). Where something is started it derives from the event by
    default, so that the same event delivered again starts nothing."""
    args: tuple[Any, ...] = ()
    """The arguments; `${{ … }}` in them is CEL over `event`."""


class StartedWorkflow(RouteSettings):
    """What every route has that starts a workflow."""

    task_queue: Text | None = None
    """Its task queue. It may be left out where just one worker of this file has the workflow."""
    execution_timeout: PositiveDuration | None = None
    """For the whole execution, retries and continue-as-new included."""
    run_timeout: PositiveDuration | None = None
    """For one run."""
    task_timeout: PositiveDuration | None = None
    """For one workflow task."""
    start_delay: Duration | None = None
    """Wait before the first workflow task."""
    retry_policy: RetryPolicySettings | None = None
    """Start it anew when it fails."""
    priority: PrioritySettings | None = None
    """Priority and fairness of its tasks."""
    memo: dict[str, Any] = {}
    """More entries for the memo, beside the event's own trace under `event`."""
    search_attributes: dict[str, SearchAttribute] = {}
    """By name: a value whose type tells (text is Keyword, 42 Int, 42.0 Double), or
    {type: …, value: …} where the event's values may have several. What is null is left out."""
    static_summary: Text | None = None
    """A line for Temporal's UI."""
    static_details: Text | None = None
    """More for Temporal's UI."""

    @model_validator(mode="after")
    def _memo_is_free(self) -> StartedWorkflow:
        if "event" in self.memo:
            raise ValueError("the memo's entry `event` is where the event came from; use another")
        return self


class StartRoute(StartedWorkflow):
    """Start a workflow."""

    start: Text
    """The workflow's type."""
    on_duplicate: Literal["ignore", "fail"] | SignalDuplicate = Field(
        "ignore", union_mode="left_to_right"
    )
    """When a workflow of that ID is there: count the event as done, reject it, or signal it."""
    id_reuse_policy: Literal[
        "reject_duplicate", "allow_duplicate", "allow_duplicate_failed_only"
    ] = "reject_duplicate"
    """Whether a closed workflow's ID may be used again."""
    id_conflict_policy: Literal["fail", "terminate_existing"] = "fail"
    """What becomes of a running workflow of that ID. With terminate_existing the same event,
    delivered again, starts its workflow over."""


class SignalRoute(RouteSettings):
    """Signal a running workflow, once for each event within one run of it."""

    signal: Text
    """The signal's name."""
    id: Text
    """The Workflow ID."""


class StartedIfAbsent(StartedWorkflow):
    """What the two routes have that start a workflow only where it does not run."""

    workflow: Text
    """The workflow's type."""
    id: Text
    """The Workflow ID."""
    start_args: tuple[Any, ...] = ()
    """The workflow's arguments."""
    id_reuse_policy: Literal[
        "reject_duplicate", "allow_duplicate", "allow_duplicate_failed_only"
    ] = "allow_duplicate"
    """Whether a closed workflow's ID may be used again."""


class SignalWithStartRoute(StartedIfAbsent):
    """Signal a workflow, and start it first where it does not run."""

    signal_with_start: Text
    """The signal's name."""


class UpdateRoute(RouteSettings):
    """Update a running workflow, once for each event."""

    update: Text
    """The update's name."""
    id: Text
    """The Workflow ID."""
    wait_for_result: PositiveDuration | None = None
    """Wait so long for the update's result and hand it to the source, which may answer with it."""


class UpdateWithStartRoute(StartedIfAbsent):
    """Update a workflow, and start it first where it does not run; once for each event."""

    update_with_start: Text
    """The update's name."""
    wait_for_result: PositiveDuration | None = None
    """Wait so long for the update's result and hand it to the source, which may answer with it."""


class StartActivityRoute(RouteSettings):
    """Start an activity on its own, without a workflow."""

    start_activity: Text
    """The activity's type."""
    task_queue: Text
    """Its task queue."""
    schedule_to_close_timeout: PositiveDuration | None = None
    """For the whole activity, retries included."""
    schedule_to_start_timeout: PositiveDuration | None = None
    """For the wait in the task queue."""
    start_to_close_timeout: PositiveDuration | None = None
    """For one attempt."""
    heartbeat_timeout: PositiveDuration | None = None
    """Between two heartbeats."""
    retry_policy: RetryPolicySettings | None = None
    """Temporal's retries of the activity."""
    priority: PrioritySettings | None = None
    """Priority and fairness."""
    start_delay: Duration | None = None
    """Wait before the first attempt."""
    on_duplicate: Literal["ignore", "fail"] = "ignore"
    """When an activity of that ID is there: count the event as done, or reject it."""

    @model_validator(mode="after")
    def _has_timeout(self) -> StartActivityRoute:
        if not (self.schedule_to_close_timeout or self.start_to_close_timeout):
            raise ValueError("give schedule_to_close_timeout or start_to_close_timeout")
        return self


def _action(raw: Any) -> str | None:
    if isinstance(raw, Section):
        raw = raw.model_fields_set
    named = [action for action in ACTIONS if action in raw]
    if not named:  # a misspelt one is better answered by the route that was meant
        named = [near for key in raw if (near := nearest(str(key), ACTIONS, likeness=0.7))]
    return f"{named[0]} route" if len(named) == 1 else None


RouteSection = Annotated[
    Annotated[StartRoute, Tag("start route")]
    | Annotated[SignalRoute, Tag("signal route")]
    | Annotated[SignalWithStartRoute, Tag("signal_with_start route")]
    | Annotated[UpdateRoute, Tag("update route")]
    | Annotated[UpdateWithStartRoute, Tag("update_with_start route")]
    | Annotated[StartActivityRoute, Tag("start_activity route")],
    Discriminator(
        _action,
        custom_error_type="action",
        custom_error_message=f"a route has exactly one of {', '.join(ACTIONS)}",
    ),
]
"""A route of any of the six actions."""
