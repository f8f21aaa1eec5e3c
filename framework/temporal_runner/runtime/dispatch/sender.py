"""Carries single actions out, without a listener: for `runner events` and `runner dead-letters`."""

from __future__ import annotations

import logging

from temporalio.client import Client

from temporal_runner.errors import EventRejected
from temporal_runner.events.event import Accepted
from temporal_runner.plan import ConnectionPlan, Plan
from temporal_runner.retry.connector import Connector, Diagnosis, diagnose
from temporal_runner.routing.actions import Action
from temporal_runner.runtime.connection.target import make_target
from temporal_runner.runtime.dispatch.actions import dispatch

log = logging.getLogger("temporal_runner.events")


class Sender:
    """Sends actions to Temporal, one after the other, with the retries of their connections."""

    def __init__(self, plan: Plan) -> None:
        """Connect nothing yet.

        Args:
            plan: Whose connections are used.
        """
        self._plan = plan
        self._clients: dict[str, Client] = {}

    async def send(self, action: Action) -> Accepted:
        """Carry an action out.

        Raises:
            PermanentError: Temporal refuses it, or connecting can never succeed.
            GaveUp: Temporal was not to be reached within the limits of `retry`.
        """
        connection = self._plan.connections[action.connection]
        if action.connection not in self._clients:
            self._clients[action.connection] = await _connect(connection)
        return await _dispatch(action, self._clients[action.connection], connection)


async def _connect(connection: ConnectionPlan) -> Client:
    target = make_target(connection)
    return await target.connector(connection.retry, log).call(target.connect)


async def _dispatch(action: Action, client: Client, connection: ConnectionPlan) -> Accepted:
    rpc_timeout = connection.settings.rpc_timeout
    connector = Connector(f"event {action.event.id}", connection.retry, diagnose=_diagnose, log=log)
    return await connector.call(lambda: dispatch(action, client, rpc_timeout))


def _diagnose(error: Exception) -> Diagnosis:
    if isinstance(error, EventRejected):
        return Diagnosis("EventRejected", permanent=True)
    return diagnose(error)
