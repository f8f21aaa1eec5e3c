"""Carries single actions out, without a listener: what `runner events send` does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from temporalio.client import Client

from temporal_runner.actions import dispatch
from temporal_runner.errors import EventRejected
from temporal_runner.events import Accepted
from temporal_runner.plan import ConnectionPlan, Plan
from temporal_runner.retry import Connector, Verdict, classify
from temporal_runner.routing import Action
from temporal_runner.runtime.target import make_target

log = logging.getLogger("temporal_runner.events")


async def send(
    actions: Sequence[Action], plan: Plan, on_accepted: Callable[[Action, Accepted], None]
) -> None:
    """Carry actions out, one after the other, with the retries of their connections.

    Args:
        actions: What to do.
        plan: Whose connections are used.
        on_accepted: Told of each action as soon as Temporal has it.

    Raises:
        PermanentError: Temporal refuses one, or connecting can never succeed.
        GaveUp: Temporal was not to be reached within the limits of `retry`.
    """
    clients: dict[str, Client] = {}
    for action in actions:
        connection = plan.connections[action.connection]
        if action.connection not in clients:
            clients[action.connection] = await _connect(connection)
        client = clients[action.connection]
        on_accepted(action, await _dispatch(action, client, connection))


async def _connect(connection: ConnectionPlan) -> Client:
    target = make_target(connection)
    connector = Connector(str(target), connection.retry, classify=target.classify, log=log)
    return await connector.call(target.connect)


async def _dispatch(action: Action, client: Client, connection: ConnectionPlan) -> Accepted:
    rpc_timeout = connection.settings.rpc_timeout
    connector = Connector(f"event {action.event.id}", connection.retry, classify=_classify, log=log)
    return await connector.call(lambda: dispatch(action, client, rpc_timeout))


def _classify(error: Exception) -> Verdict:
    if isinstance(error, EventRejected):
        return Verdict("EventRejected", permanent=True)
    return classify(error)
