"""What becomes of one delivery: routed, handed to where it is safe, settled once.

receive() -> Delivery -> route(event) -> Action -> outlet -> ack | nack | reject
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from temporal_runner.errors import Busy, EventRejected, NotKept, TransientError
from temporal_runner.events.event import Accepted, Delivery
from temporal_runner.events.identity import event_key
from temporal_runner.plan import ListenerPlan
from temporal_runner.retry.connector import Connector
from temporal_runner.routing.actions import Action
from temporal_runner.routing.routes import route
from temporal_runner.runtime.listeners.outlets import Outlet
from temporal_runner.runtime.storage.dead_letters import DeadLetters
from temporal_runner.values.redaction import redacted

_RETRY_AFTER = 5.0
"""Seconds after which an event is asked for again where nobody knows better."""


class Settler:
    """Settles a listener's deliveries, those of its source or those of its inbox."""

    def __init__(
        self,
        plan: ListenerPlan,
        outlet: Outlet,
        dead_letters: DeadLetters,
        counts: Counter[str],
        accepted_as: str,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        """Make one.

        Args:
            plan: Whose routes decide.
            outlet: Where actions are handed to.
            dead_letters: Where rejected events are kept that the source does not keep.
            counts: Counts what becomes of each delivery.
            accepted_as: The count of those that the outlet took.
            log: Where it logs.
        """
        self.outlet = outlet
        self._plan = plan
        self._dead_letters = dead_letters
        self._counts = counts
        self._accepted_as = accepted_as
        self._log = log

    async def settle(self, delivery: Delivery, *, hold: bool) -> None:
        """Settle a delivery; cancelled, hand it back.

        Args:
            delivery: The delivery.
            hold: Wait while the outlet takes nothing, instead of handing the delivery back.
        """
        settlement = Settlement(delivery, self._log)
        try:
            await self._settle(settlement, hold)
        except asyncio.CancelledError:
            await settlement.nack("the runner is stopping", retry_after=0)
            raise
        except Exception as error:  # a fault of the runner's own: the event is not lost for it
            self._log.exception("event %s: settling it failed", delivery.event.id)
            await settlement.nack(f"{type(error).__name__}: {error}", retry_after=_RETRY_AFTER)

    async def _settle(self, settlement: Settlement, hold: bool) -> None:
        delivery = settlement.delivery
        if delivery.unreadable:
            self._counts["unreadable"] += 1
            await self._reject(settlement, delivery.unreadable, hold)
            return
        decision = route(self._plan.routes, delivery.event)
        for error in decision.errors:
            self._counts["filter_error"] += 1
            self._log.warning("event %s: %s", delivery.event.id, error)
        if decision.action is None:
            await self._unrouted(settlement, decision.errors, hold)
            return
        try:
            accepted = await self._hand_over(decision.action, delivery, hold)
        except EventRejected as error:
            await self._reject(settlement, str(error), hold)
        except TransientError as error:
            await self._hand_back(settlement, error)
        else:
            self._counts["duplicate" if accepted.duplicate else self._accepted_as] += 1
            await settlement.ack(accepted)

    async def _hand_over(self, action: Action, delivery: Delivery, hold: bool) -> Accepted:
        if not hold:
            return await self.outlet.take(action, delivery)
        what = f"event {delivery.event.id}"
        connector = Connector(what, self._plan.retry.without_limits(), log=self._log)
        while True:
            await self.outlet.wait_open(action)
            try:
                return await self.outlet.take(action, delivery)
            except Busy:
                continue
            except TransientError as error:
                await connector.back_off_after(error)

    async def _unrouted(self, settlement: Settlement, errors: list[str], hold: bool) -> None:
        if errors:
            await self._reject(settlement, "; ".join(errors), hold)
        elif self._plan.settings.unmatched == "reject":
            await self._reject(settlement, "no route wants this event", hold)
        else:
            self._counts["ignored"] += 1
            await settlement.ack(Accepted())

    async def _hand_back(self, settlement: Settlement, error: TransientError) -> None:
        self._counts["nacked"] += 1
        self._log.debug("event %s handed back: %s", settlement.delivery.event.id, error)
        await settlement.nack(str(error), retry_after=error.retry_after or _RETRY_AFTER)

    async def _reject(self, settlement: Settlement, reason: str, hold: bool) -> None:
        """Reject an event once it is kept; until then it is nobody's but the sender's."""
        reason = redacted(reason)  # the source may tell it to the sender
        delivery = settlement.delivery
        if delivery.keeps_rejected and await settlement.reject(reason):
            self._rejected(delivery, reason)
            return
        try:
            await self._keep(delivery, reason, hold)
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

    async def _keep(self, delivery: Delivery, reason: str, hold: bool) -> None:
        event = delivery.event

        async def keep() -> None:
            await self._dead_letters.keep(self._plan.name, event, event_key(event), reason)

        if not hold:
            await keep()
            return
        what = f"dead letter {event.id}"
        await Connector(what, self._plan.retry.without_limits(), log=self._log).call(keep)


class Settlement:
    """Settles a delivery once. Where that fails the source delivers it again, which is harmless."""

    def __init__(self, delivery: Delivery, log: logging.LoggerAdapter[logging.Logger]) -> None:
        self.delivery = delivery
        self._log = log
        self._settled = False

    async def ack(self, accepted: Accepted) -> None:
        """It is safe."""
        await self._once(lambda: self.delivery.ack(accepted))

    async def nack(self, reason: str, *, retry_after: float) -> None:
        """It is to come again."""
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
