"""Whose fault an answer of Temporal's is, for each status and each action: one table.

An event whose fault it is would fail again, while others do well: it is rejected. All else is held
and tried again: an outage, a missing namespace or permission, and whatever nobody knows; an event
that fails on and on while others succeed is told by that, and not here. The texts of answers are
not looked at: they hold Workflow IDs and names, which a sender may choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from google.protobuf.message import DecodeError, Message
from temporalio.api.errordetails.v1 import (
    ClientVersionNotSupportedFailure,
    MultiOperationExecutionFailure,
    NamespaceInvalidStateFailure,
    NamespaceNotActiveFailure,
    NamespaceNotFoundFailure,
    NamespaceUnavailableFailure,
    NotFoundFailure,
    PermissionDeniedFailure,
    ResourceExhaustedFailure,
    ServerVersionNotSupportedFailure,
    WorkflowNotReadyFailure,
)
from temporalio.service import RPCError, RPCStatusCode

from temporal_runner.runtime.connection.service import RequestTooLarge


class Fault(Enum):
    """Whose fault an answer is."""

    EVENT = "event"
    """The event's or its route's: rejected."""
    SERVER = "server"
    """The server's, or not to be told: held and tried again."""
    NOBODY = "nobody"
    """There is a workflow or activity of that ID already."""


_E, _S, _N = Fault.EVENT, Fault.SERVER, Fault.NOBODY

ACTIONS = (
    "start", "signal", "signal_with_start", "update", "update_with_start", "start_activity"
)  # fmt: skip
"""The columns of the tables."""

BY_STATUS: Mapping[RPCStatusCode, tuple[Fault, ...]] = {
    RPCStatusCode.CANCELLED: (_S, _S, _S, _S, _S, _S),
    RPCStatusCode.UNKNOWN: (_S, _S, _S, _S, _S, _S),
    RPCStatusCode.INVALID_ARGUMENT: (_E, _E, _E, _E, _E, _E),
    RPCStatusCode.DEADLINE_EXCEEDED: (_S, _S, _S, _S, _S, _S),
    # Temporal says which thing it did not find; a proxy that knows no such path does not.
    RPCStatusCode.NOT_FOUND: (_S, _S, _S, _S, _S, _S),
    # Proxies drop the detail by which the SDK knows that the workflow is there.
    RPCStatusCode.ALREADY_EXISTS: (_N, _S, _N, _S, _N, _N),
    RPCStatusCode.PERMISSION_DENIED: (_S, _S, _S, _S, _S, _S),
    RPCStatusCode.RESOURCE_EXHAUSTED: (_S, _S, _S, _S, _S, _S),
    # A workflow that took all the updates that one may take. Of a namespace there is a detail.
    RPCStatusCode.FAILED_PRECONDITION: (_S, _S, _S, _E, _E, _S),
    RPCStatusCode.ABORTED: (_S, _S, _S, _S, _S, _S),
    RPCStatusCode.OUT_OF_RANGE: (_E, _E, _E, _E, _E, _E),
    # A server that lacks the action, or a proxy that answers 404: no event can help that.
    RPCStatusCode.UNIMPLEMENTED: (_S, _S, _S, _S, _S, _S),
    RPCStatusCode.INTERNAL: (_S, _S, _S, _S, _S, _S),
    RPCStatusCode.UNAVAILABLE: (_S, _S, _S, _S, _S, _S),
    RPCStatusCode.DATA_LOSS: (_S, _S, _S, _S, _S, _S),
    RPCStatusCode.UNAUTHENTICATED: (_S, _S, _S, _S, _S, _S),
}
"""Where no detail below says more."""

BY_DETAIL: Mapping[type[Message], tuple[Fault, ...]] = {
    # The workflow is not there, or is closed. What starts one as well only met it while it closed.
    NotFoundFailure: (_S, _E, _S, _E, _S, _S),
    NamespaceNotFoundFailure: (_S, _S, _S, _S, _S, _S),
    NamespaceInvalidStateFailure: (_S, _S, _S, _S, _S, _S),
    NamespaceNotActiveFailure: (_S, _S, _S, _S, _S, _S),
    NamespaceUnavailableFailure: (_S, _S, _S, _S, _S, _S),
    ClientVersionNotSupportedFailure: (_S, _S, _S, _S, _S, _S),
    ServerVersionNotSupportedFailure: (_S, _S, _S, _S, _S, _S),
    PermissionDeniedFailure: (_S, _S, _S, _S, _S, _S),
    ResourceExhaustedFailure: (_S, _S, _S, _S, _S, _S),
    WorkflowNotReadyFailure: (_S, _S, _S, _S, _S, _S),
}
"""By what the server says of an answer in a type of its own, whatever its status."""


def fault_of(error: RPCError, kind: str) -> Fault:
    """Whose fault an answer is.

    Args:
        error: The answer.
        kind: The action's kind, one of `ACTIONS`.
    """
    if isinstance(error, RequestTooLarge):
        return Fault.EVENT
    column = ACTIONS.index(kind)
    said = set(_details(error))
    for detail, faults in BY_DETAIL.items():
        if detail.DESCRIPTOR.full_name in said:
            return faults[column]
    return BY_STATUS.get(error.status, (Fault.SERVER,) * len(ACTIONS))[column]


def _details(error: RPCError) -> Iterator[str]:
    """The types of an answer's details; of an update with start, those of what failed in it."""
    try:
        for given in error.grpc_status.details:
            together = MultiOperationExecutionFailure()
            if given.Unpack(together):
                for status in together.statuses:
                    if status.code == error.status:
                        yield from (one.TypeName() for one in status.details)
            else:
                yield given.TypeName()
    except DecodeError:
        return  # nothing that Temporal writes
