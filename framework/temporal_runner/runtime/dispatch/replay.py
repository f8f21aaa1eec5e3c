"""Replays dead letters: through the routes of today's config into Temporal; what fails stays."""

from __future__ import annotations

from dataclasses import dataclass

from temporal_runner.errors import PermanentError
from temporal_runner.events.event import Accepted
from temporal_runner.events.identity import event_key
from temporal_runner.plan import ListenerPlan, Plan
from temporal_runner.routing.actions import Action
from temporal_runner.routing.routes import route
from temporal_runner.runtime.dispatch.sender import Sender
from temporal_runner.runtime.storage.dead_letters import DeadLetter, DeadLetters


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one dead letter.

    Attributes:
        letter: Which one.
        action: What was done with it, where anything was.
        accepted: What Temporal accepted; None where the letter stays.
        reason: Why it stays; empty where it does not.
    """

    letter: DeadLetter
    action: Action | None = None
    accepted: Accepted | None = None
    reason: str = ""


class Replay:
    """Replays letters of one store with one config."""

    def __init__(self, plan: Plan, store: DeadLetters) -> None:
        self._listeners: dict[str, ListenerPlan] = {one.name: one for one in plan.listeners}
        self._sender = Sender(plan)
        self._store = store

    async def one(self, letter: DeadLetter) -> Replayed:
        """Replay a letter; it is dropped once Temporal has it, and kept with the reason if not.

        Raises:
            GaveUp: Temporal was not to be reached: no use in going on.
        """
        listener = self._listeners.get(letter.listener)
        if listener is None:
            # The reason why it was rejected says more than this one: it is not replaced.
            return Replayed(letter, reason="the config has no listener of that name")
        decision = route(listener.routes, letter.event)
        if decision.action is None:
            reason = "; ".join(decision.errors) or "no route wants it"
            return await self._stays(letter, reason)
        try:
            accepted = await self._sender.send(decision.action)
        except PermanentError as error:
            return await self._stays(letter, str(error))
        await self._store.drop(letter)
        return Replayed(letter, decision.action, accepted)

    async def _stays(self, letter: DeadLetter, reason: str) -> Replayed:
        event = letter.event
        await self._store.keep(letter.listener, event, event_key(event), reason)
        return Replayed(letter, reason=reason)
