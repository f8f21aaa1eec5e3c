"""Event to action: pure, no network, no SDK.

receive() -> Delivery -> route(event) -> Action -> dispatch() -> ack | nack | reject
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from temporal_runner.config.routes import RouteSection
from temporal_runner.events.event import Event
from temporal_runner.routing.actions import Action
from temporal_runner.routing.expressions import Expression, ExpressionError, Scope


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one route said of an event.

    Attributes:
        route: The route's label, such as `routes[0] start ProcessDocument`.
        matched: Whether it wants the event.
        error: Why that, or its action, could not be told; empty where it could.
    """

    route: str
    matched: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of an event.

    Attributes:
        action: What to do; None where no route wants the event, or its route failed.
        verdicts: What each route said, up to the one that was taken.
    """

    action: Action | None
    verdicts: Sequence[Verdict] = field(default_factory=tuple)

    @property
    def errors(self) -> list[str]:
        """Why routes could not be evaluated."""
        return [f"{verdict.route}: {verdict.error}" for verdict in self.verdicts if verdict.error]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A compiled route of a listener.

    Attributes:
        label: For people: its place and what it does.
        settings: As the config has it.
        connection: Which connection it uses; empty for `temporal`.
        when: Its filter; None wants every event.
        resolve: Makes the action for an event; raises `ExpressionError` where one of its
            expressions cannot be evaluated, or the ID is no ID.
    """

    label: str
    settings: RouteSection
    connection: str
    when: Expression | None
    resolve: Callable[[Scope], Action]

    def wants(self, scope: Scope) -> bool:
        """Whether the event is one of this route's.

        Raises:
            ExpressionError: The filter cannot be evaluated for it.
        """
        return self.when is None or self.when.is_true(scope)


def route(routes: Sequence[Route], event: Event) -> Decision:
    """Find the first route that wants an event.

    A route whose filter cannot be evaluated does not want it, and says so in the decision: it is
    for the listener to report that, and to keep an event that no other route wants.
    """
    scope = Scope(event)
    verdicts = []
    for candidate in routes:
        try:
            if not candidate.wants(scope):
                verdicts.append(Verdict(candidate.label, False))
                continue
        except ExpressionError as error:
            verdicts.append(Verdict(candidate.label, False, f"when: {error}"))
            continue
        try:
            action = candidate.resolve(scope)
        except ExpressionError as error:
            verdicts.append(Verdict(candidate.label, True, str(error)))
            return Decision(None, verdicts)
        verdicts.append(Verdict(candidate.label, True))
        return Decision(action, verdicts)
    return Decision(None, verdicts)
