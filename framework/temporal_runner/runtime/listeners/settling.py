"""What becomes of one delivery: routed, handed to where it is safe, settled once.

receive() -> Delivery -> route(event) -> Action -> outlet -> ack | nack | reject
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporal_runner.errors import Busy, EventRejected, NotKept, TransientError
from temporal_runner.events.event import Accepted, Delivery, Event
from temporal_runner.events.identity import event_key
from temporal_runner.plan import ListenerPlan
from temporal_runner.retry.connector import Connector
from temporal_runner.routing.actions import Action
from temporal_runner.routing.routes import route
from temporal_runner.runtime.listeners.failing_events import FailingEvents
from temporal_runner.runtime.listeners.outlets import Outlet
from temporal_runner.runtime.storage.dead_letters import DeadLetters
from temporal_runner.values.redaction import redacted

T = TypeVar("T")


class Settler:
    """Settles a listener's deliveries, those of its source or those of its inbox."""

    def __init__(
        self,
        plan: ListenerPlan,
        outlet: Outlet,
        dead_letters: DeadLetters,
        counts: Counter[str],
        accepted_as: str,
        most_waiting: int,
        retry_after: float | None,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        """Make one.

        Args:
            plan: Whose routes decide.
            outlet: Where actions are handed to.
            dead_letters: Where rejected events are kept that the source does not keep.
            counts: Counts what becomes of each delivery.
            accepted_as: The count of those that the outlet took.
            most_waiting: How many deliveries that failed may be held until they are tried again;
                further ones are handed back, so that they hold no place that others need.
            retry_after: Seconds after which what is handed back is asked for again, where the
                failure does not say; None leaves it to the source.
            log: Where it logs.
        """
        self.outlet = outlet
        self._plan = plan
        self._dead_letters = dead_letters
        self._counts = counts
        self._accepted_as = accepted_as
        self._most_waiting = most_waiting
        self._retry_after = retry_after
        self._waiting = 0
        self._failing = FailingEvents()
        self._log = log

    async def settle(self, delivery: Delivery, *, hold: bool) -> bool:
        """Settle a delivery; cancelled, hand it back.

        Args:
            delivery: The delivery.
            hold: Wait while the outlet takes nothing, instead of handing the delivery back.

        Returns:
            Whether it was handed back, so that it comes again.
        """
        settlement = Settlement(delivery, self._log)
        try:
            await self._settle(settlement, hold)
        except asyncio.CancelledError:
            await settlement.nack("the runner is stopping", retry_after=0)
            raise
        except Exception as error:  # a fault of the runner's own: the event is not lost for it
            self._log.exception("event %s: settling it failed", delivery.event.id)
            await settlement.nack(f"{type(error).__name__}: {error}", retry_after=self._retry_after)
        return settlement.handed_back

    async def _settle(self, settlement: Settlement, hold: bool) -> None:
        delivery = settlement.delivery
        if delivery.unreadable:
            self._counts["unreadable"] += 1
            await self._reject(settlement, delivery.unreadable, "", hold)
            return
        try:
            decision = route(self._plan.routes, delivery.event)
        except Exception as error:  # routing is pure: it would fail the same way each time
            self._log.exception("event %s: routing it failed", delivery.event.id)
            reason = f"routing it failed: {type(error).__name__}: {error}"
            await self._reject(settlement, reason, "", hold)
            return
        for problem in decision.errors:
            self._counts["filter_error"] += 1
            self._log.warning("event %s: %s", delivery.event.id, problem)
        action = decision.action
        if action is None:
            await self._unrouted(settlement, decision.errors, hold)
            return
        what = f"event {delivery.event.id}"
        try:
            accepted = await self._held(what, lambda: self._hand_over(action, delivery, hold), hold)
        except EventRejected as error:
            await self._reject(settlement, str(error), _name(action), hold)
        except TransientError as error:
            await self._hand_back(settlement, error)
        else:
            self._counts["duplicate" if accepted.duplicate else self._accepted_as] += 1
            await settlement.ack(accepted)

    async def _held(self, what: str, attempt: Callable[[], Awaitable[T]], hold: bool) -> T:
        """Attempt something; where it is held, and there is a place for it, until it succeeds."""
        connector = None
        while True:
            try:
                return await attempt()
            except TransientError as error:
                if not hold or self._is_full:
                    raise
                if connector is None:
                    connector = Connector(what, self._plan.retry.without_limits(), log=self._log)
                self._waiting += 1
                try:
                    await connector.back_off_after(error)
                finally:
                    self._waiting -= 1

    async def _hand_over(self, action: Action, delivery: Delivery, hold: bool) -> Accepted:
        """One attempt, for which the outlet's being open is waited for where it is held."""
        while True:
            if hold:
                await self.outlet.wait_open(action)
            try:
                accepted = await self.outlet.take(action, delivery)
            except Busy:
                if not hold:
                    raise
            except EventRejected:
                self._failing.forget(delivery.event, _name(action))
                raise
            except Exception as error:
                self._judge(delivery, _name(action), error, tell=not hold or self._is_full)
                raise
            else:
                self._failing.succeeded(delivery.event, _name(action))
                return accepted

    @property
    def _is_full(self) -> bool:
        """There is no place to hold another delivery that failed."""
        return self._waiting >= self._most_waiting

    def _judge(self, delivery: Delivery, name: str, error: Exception, *, tell: bool) -> None:
        """Count a failure, and tell of it; reject the event where it alone is at fault."""
        event = delivery.event
        failures = self._failing.failed(event, name)
        if verdict := self._failing.verdict(event, name):
            raise EventRejected(f"{verdict}; the last time: {error}") from error
        if tell and failures & (failures - 1) == 0:  # the first, second, fourth, eighth, … time
            cause = error.__cause__ if isinstance(error, TransientError) else None
            times = f"{failures} times" if failures > 1 else "once"
            self._log.warning("event %s failed %s: %s", event.id, times, error)
            if failures == 1 and cause is not None:
                self._log.debug("event %s failed", event.id, exc_info=cause)

    async def _unrouted(self, settlement: Settlement, errors: list[str], hold: bool) -> None:
        if errors:
            await self._reject(settlement, "; ".join(errors), "", hold)
        elif self._plan.settings.unmatched == "reject":
            await self._reject(settlement, "no route wants this event", "", hold)
        else:
            self._counts["ignored"] += 1
            await settlement.ack(Accepted())

    async def _hand_back(self, settlement: Settlement, error: TransientError) -> None:
        self._counts["nacked"] += 1
        self._log.debug("event %s handed back: %s", settlement.delivery.event.id, error)
        await settlement.nack(str(error), retry_after=error.retry_after or self._retry_after)

    async def _reject(self, settlement: Settlement, reason: str, by_route: str, hold: bool) -> None:
        """Reject an event once it is kept; until then it is nobody's but the sender's."""
        reason = redacted(reason)  # the source may tell it to the sender
        delivery = settlement.delivery
        if delivery.keeps_rejected and await settlement.reject(reason):
            self._rejected(delivery, reason)
            return
        try:
            await self._keep(delivery.event, reason, by_route, hold)
        except TransientError as error:
            self._log.error(
                "event %s cannot be rejected (%s): %s",
                delivery.event.id,
                reason,
                error,
            )
            await self._hand_back(settlement, error)
            return
        self._rejected(delivery, reason)
        await settlement.reject(reason)

    def _rejected(self, delivery: Delivery, reason: str) -> None:
        self._counts["rejected"] += 1
        self._log.warning("event %s rejected: %s", delivery.event.id, reason)

    async def _keep(self, event: Event, reason: str, by_route: str, hold: bool) -> None:
        keep, listener = self._dead_letters.keep, self._plan.name
        await self._held(
            f"dead letter {event.id}",
            lambda: keep(listener, event, event_key(event), reason, by_route),
            hold,
        )


def _name(action: Action) -> str:
    """What a route's actions have in common."""
    return f"{action.kind} {action.name} {action.connection}".rstrip()


class Settlement:
    """Settles a delivery once. Where that fails the source delivers it again, which is harmless.

    Attributes:
        handed_back: It is to come again.
    """

    def __init__(self, delivery: Delivery, log: logging.LoggerAdapter[logging.Logger]) -> None:
        self.delivery = delivery
        self.handed_back = False
        self._log = log
        self._settled = False

    async def ack(self, accepted: Accepted) -> None:
        """It is safe."""
        await self._once(lambda: self.delivery.ack(accepted))

    async def nack(self, reason: str, *, retry_after: float | None) -> None:
        """It is to come again."""
        self.handed_back = not self._settled
        await self._once(lambda: self.delivery.nack(reason, retry_after=retry_after))

    async def reject(self, reason: str) -> bool:
        """It can never succeed, and is kept; False where the source leaves that to the runner."""
        try:
            await self._once(lambda: self.delivery.reject(reason))
        except NotKept as error:
            if not self.delivery.keeps_rejected:  # it is kept: a source that says it twice errs
                return True
            self._log.warning("event %s: %s", self.delivery.event.id, error)
            self.delivery.keeps_rejected = self._settled = False
            return False
        return True

    async def _once(self, settle: Callable[[], Awaitable[None]]) -> None:
        if self._settled:
            return
        self._settled = True
        try:
            await settle()
        except NotKept:
            raise
        except Exception as error:
            self._log.warning("event %s: settling failed: %s", self.delivery.event.id, error)
