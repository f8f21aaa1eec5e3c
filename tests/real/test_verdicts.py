"""Whose fault each answer of Temporal's is: every status and detail, for each action, over gRPC."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import pytest
from google.protobuf.message import Message
from pydantic import TypeAdapter
from temporalio.api.common.v1 import GrpcStatus, Payload
from temporalio.api.enums.v1 import ResourceExhaustedCause
from temporalio.api.errordetails.v1 import (
    ActivityExecutionAlreadyStartedFailure,
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
    WorkflowExecutionAlreadyStartedFailure,
    WorkflowNotReadyFailure,
)
from temporalio.api.failure.v1 import MultiOperationExecutionAborted
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import PayloadCodec
from temporalio.service import RPCStatusCode, ServiceClient
from temporalio.worker import Worker

from temporal_runner import connect_to_temporal_with_retry
from temporal_runner.config.routes import RouteSection
from temporal_runner.errors import EventRejected, TransientError
from temporal_runner.events.event import Accepted, Event
from temporal_runner.plan.sdk_internals import put_workflow_service
from temporal_runner.routing.actions import Action, UpdateWithStart
from temporal_runner.routing.compile import compile_route
from temporal_runner.routing.routes import Route, route
from temporal_runner.runtime.connection.service import RequestIdService
from temporal_runner.runtime.dispatch.actions import dispatch
from temporal_runner.runtime.dispatch.verdicts import ACTIONS, BY_DETAIL, BY_STATUS
from tests.real import flows
from tests.real.impostors import failing_temporal, serving
from tests.support import TemporalServer

SECTION: TypeAdapter[Any] = TypeAdapter(RouteSection)
TIMEOUT = timedelta(seconds=30)
EVENT, SERVER, NOBODY, CLOSED = "rejected", "transient", "duplicate", "rejected: closed"
S = RPCStatusCode

# The columns: start, signal, signal_with_start, update, update_with_start, start_activity.
_ALL_SERVER = [SERVER] * 6
STATUSES: dict[RPCStatusCode, list[str]] = {
    S.CANCELLED: _ALL_SERVER,
    S.UNKNOWN: _ALL_SERVER,
    S.INVALID_ARGUMENT: [EVENT] * 6,
    S.DEADLINE_EXCEEDED: _ALL_SERVER,
    S.NOT_FOUND: _ALL_SERVER,
    S.ALREADY_EXISTS: [NOBODY, SERVER, CLOSED, SERVER, CLOSED, NOBODY],
    S.PERMISSION_DENIED: _ALL_SERVER,
    S.RESOURCE_EXHAUSTED: _ALL_SERVER,
    S.FAILED_PRECONDITION: [SERVER, SERVER, SERVER, EVENT, EVENT, SERVER],
    S.ABORTED: _ALL_SERVER,
    S.OUT_OF_RANGE: [EVENT] * 6,
    S.UNIMPLEMENTED: _ALL_SERVER,
    S.INTERNAL: _ALL_SERVER,
    S.UNAVAILABLE: _ALL_SERVER,
    S.DATA_LOSS: _ALL_SERVER,
    S.UNAUTHENTICATED: _ALL_SERVER,
}
DETAILS: list[tuple[RPCStatusCode, Message, list[str]]] = [
    (S.NOT_FOUND, NotFoundFailure(), [SERVER, EVENT, SERVER, EVENT, SERVER, SERVER]),
    (S.NOT_FOUND, NamespaceNotFoundFailure(namespace="x"), _ALL_SERVER),
    (S.FAILED_PRECONDITION, NamespaceInvalidStateFailure(), _ALL_SERVER),
    (S.FAILED_PRECONDITION, NamespaceNotActiveFailure(), _ALL_SERVER),
    (S.INVALID_ARGUMENT, NamespaceUnavailableFailure(), _ALL_SERVER),
    (S.INVALID_ARGUMENT, ClientVersionNotSupportedFailure(), _ALL_SERVER),
    (S.FAILED_PRECONDITION, ServerVersionNotSupportedFailure(), _ALL_SERVER),
    (S.INVALID_ARGUMENT, PermissionDeniedFailure(), _ALL_SERVER),
    (S.FAILED_PRECONDITION, WorkflowNotReadyFailure(), _ALL_SERVER),
    *(
        (S.RESOURCE_EXHAUSTED, ResourceExhaustedFailure(cause=cause), _ALL_SERVER)
        for cause in ResourceExhaustedCause.values()
    ),
]
HOSTILE = "namespace x is not found; received message larger than max (9 vs. 1); no mapping"
"""What a sender may bring into an answer's text, by a Workflow ID."""


def actions(event: Event, **more: Any) -> dict[str, Action]:
    """An event's action of each kind."""
    args = {"args": ["${{ event.data }}"], "id": more.get("id", "w")}
    queue = {"task_queue": more.get("task_queue", "q")}
    sections: list[dict[str, Any]] = [
        {"start": "Basket", **queue},
        {"signal": "add"},
        {"signal_with_start": "add", "workflow": "Basket", **queue},
        {"update": "put"},
        {"update_with_start": "put", "workflow": "Basket", **queue},
        {"start_activity": "work", "start_to_close_timeout": "5s", **queue},
    ]
    found = {}
    for section in sections:
        settings = SECTION.validate_json(json.dumps({**args, **section}))
        one = compile_route(
            settings, 0, listener="test", connection="", task_queue=queue["task_queue"]
        )
        assert isinstance(one, Route), one
        action = route([one], event).action
        assert action is not None
        found[action.kind] = action
    assert tuple(found) == ACTIONS
    return found


def an_event(data: Any = "x", **more: Any) -> Event:
    return Event(**{"id": uuid4().hex, "source": "/s", "type": "t", "data": data, **more})


class OneTry:
    """A service client without the SDK's own retries, which take 10 s a call and change nothing."""

    def __init__(self, real: ServiceClient) -> None:
        self._real = real

    async def _rpc_call(self, *args: Any, **how: Any) -> Any:
        return await self._real._rpc_call(*args, **{**how, "retry": False})


async def connected(address: str, **more: Any) -> Client:
    client = await Client.connect(address, data_converter=pydantic_data_converter, **more)
    one_try = cast(ServiceClient, OneTry(client.service_client))
    put_workflow_service(client, RequestIdService(one_try))
    return client


async def outcome(action: Action, client: Client, rpc_timeout: timedelta = TIMEOUT) -> str:
    """What `dispatch` makes of an action."""
    try:
        accepted = await dispatch(action, client, rpc_timeout)
    except EventRejected as error:
        return CLOSED if "is closed" in str(error) else EVENT
    except TransientError:
        return SERVER
    return NOBODY if accepted.duplicate else "accepted"


async def outcomes(
    status: RPCStatusCode, details: Sequence[Message] = (), *, data: Any = "x"
) -> list[str]:
    """What becomes of the six actions where a server answers with that."""
    async with serving(failing_temporal(status.value, HOSTILE, details)) as address:
        client = await connected(address)
        made = actions(an_event(data)).values()
        return list(await asyncio.gather(*(outcome(action, client) for action in made)))


def test_the_tables_have_every_status_and_detail_that_is_tested_here() -> None:
    """A status that gRPC has and the table lacks would be nobody's decision."""
    assert set(BY_STATUS) == set(S) - {S.OK} == set(STATUSES)
    assert set(BY_DETAIL) == {type(detail) for _, detail, _ in DETAILS}
    assert {len(row) for row in [*BY_STATUS.values(), *BY_DETAIL.values()]} == {len(ACTIONS)}


async def test_every_status_for_every_action() -> None:
    """Whatever the text says: the sender may have written it."""
    found = await asyncio.gather(*(outcomes(status) for status in STATUSES))
    assert dict(zip(STATUSES, found, strict=True)) == STATUSES


async def test_every_detail_for_every_action() -> None:
    """What the server says in a type of its own goes before the status."""
    found = await asyncio.gather(*(outcomes(status, [detail]) for status, detail, _ in DETAILS))
    for (_, detail, expected), row in zip(DETAILS, found, strict=True):
        assert row == expected, detail


async def test_what_is_there_already_is_a_duplicate() -> None:
    """By the detail of a workflow and of an activity."""
    workflow = WorkflowExecutionAlreadyStartedFailure(run_id="r")
    activity = ActivityExecutionAlreadyStartedFailure(run_id="r")
    assert await outcomes(S.ALREADY_EXISTS, [workflow]) == STATUSES[S.ALREADY_EXISTS]
    assert await outcomes(S.ALREADY_EXISTS, [activity]) == STATUSES[S.ALREADY_EXISTS]


@pytest.mark.parametrize(
    ("status", "detail", "expected"),
    [
        (S.FAILED_PRECONDITION, None, EVENT),
        (S.FAILED_PRECONDITION, NamespaceNotActiveFailure(), SERVER),
        (S.NOT_FOUND, NamespaceNotFoundFailure(), SERVER),
        (S.NOT_FOUND, NotFoundFailure(), SERVER),
        (S.RESOURCE_EXHAUSTED, ResourceExhaustedFailure(), SERVER),
        (S.INVALID_ARGUMENT, None, EVENT),
        (S.ALREADY_EXISTS, WorkflowExecutionAlreadyStartedFailure(run_id="r"), CLOSED),
        (S.ABORTED, None, SERVER),
    ],
)
async def test_an_update_with_start_is_told_by_what_failed_in_it(
    status: RPCStatusCode, detail: Message | None, expected: str
) -> None:
    """Temporal answers with the two operations' own statuses, within one detail."""
    aborted = GrpcStatus(code=S.ABORTED, message="Operation was aborted.")
    aborted.details.add().Pack(MultiOperationExecutionAborted())
    failed = GrpcStatus(code=status.value, message=HOSTILE)
    if detail is not None:
        failed.details.add().Pack(detail)
    for both in ([failed, aborted], [aborted, failed]):
        together = MultiOperationExecutionFailure()
        for one in both:
            together.statuses.add(code=one.code, message=one.message).details.extend(one.details)
        async with serving(failing_temporal(status.value, "", [together])) as address:
            action = actions(an_event())["update_with_start"]
            assert await outcome(action, await connected(address)) == expected


async def test_a_request_that_is_too_large_is_told_by_its_size() -> None:
    """By the text it would be told by what a sender may write; a throttled server has a detail."""
    large = "x" * 4_300_000
    throttled = ResourceExhaustedFailure()
    assert await outcomes(S.RESOURCE_EXHAUSTED, data=large) == [EVENT] * 6
    assert await outcomes(S.RESOURCE_EXHAUSTED, [throttled], data=large) == _ALL_SERVER
    assert await outcomes(S.UNAVAILABLE, data=large) == _ALL_SERVER


async def test_details_that_are_none_are_nobodys_event_fault() -> None:
    """An answer that no Temporal writes raises nothing that escapes, and loses no event."""
    for status in (S.NOT_FOUND, S.ALREADY_EXISTS, S.INVALID_ARGUMENT):
        assert await outcomes(status, [Payload(data=b"?")]) == STATUSES[status]


# What no server said. -----------------------------------------------------------------------------


class Failing(PayloadCodec):
    """A codec whose key service is away."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        raise self.error

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        raise self.error


@pytest.mark.parametrize("error", [ValueError("?"), TypeError("?"), OverflowError("?")])
async def test_a_codec_that_fails_is_not_the_events_fault(
    temporal_server: TemporalServer, error: Exception
) -> None:
    """Whatever it raises: it may pass, and every event fails with it."""
    converter = replace(pydantic_data_converter, payload_codec=Failing(error))
    client = await Client.connect(temporal_server.address, data_converter=converter)
    for action in actions(an_event(), id=uuid4().hex).values():
        assert await outcome(action, client) == SERVER, action.kind


class Unreadable(Failing):
    """A codec that writes and cannot read."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return list(payloads)


@pytest.mark.parametrize("error", [ValueError("?"), RuntimeError("?")])
async def test_a_result_that_cannot_be_read_rejects_no_update_that_was_accepted(
    temporal_server: TemporalServer, error: Exception
) -> None:
    """It is in Temporal: the event is done, and the answer is that of a result that is late."""
    client = await connected(temporal_server.address)
    queue, id_ = uuid4().hex, uuid4().hex
    converter = replace(pydantic_data_converter, payload_codec=Unreadable(error))
    unreading = Client(client.service_client, data_converter=converter)
    action = actions(an_event(), id=id_, task_queue=queue)["update_with_start"]
    assert isinstance(action, UpdateWithStart)
    async with Worker(client, task_queue=queue, workflows=[flows.Basket]):
        accepted = await dispatch(replace(action, wait_for_result=TIMEOUT), unreading, TIMEOUT)
        assert (accepted.completed, accepted.duplicate) == (False, False)
        assert await client.get_workflow_handle(id_).query("items") == ["x"]


async def test_an_update_with_start_that_fails_leaves_nothing_for_asyncio_to_log() -> None:
    """The SDK keeps the failure in a future as well, that nobody looks at."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    for status in (S.INVALID_ARGUMENT, S.DEADLINE_EXCEEDED, S.ALREADY_EXISTS):
        async with serving(failing_temporal(status.value)) as address:
            action = actions(an_event())["update_with_start"]
            await outcome(action, await connected(address))
    gc.collect()
    await asyncio.sleep(0)
    assert told == []


@pytest.mark.parametrize("data", ["\ud800", {"a": ["\udfff"]}, object()])
async def test_what_the_converter_has_no_form_for_is_the_events_fault(
    temporal_server: TemporalServer, data: Any
) -> None:
    """It has none the next time either."""
    client = await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
    for action in actions(replace(an_event(), data=data), id=uuid4().hex).values():
        assert await outcome(action, client) == EVENT, action.kind


# A real server. -----------------------------------------------------------------------------------


@dataclass
class Limited:
    """A server that takes few updates and signals a run, with a worker and a basket on it."""

    client: Client
    queue: str

    async def send(self, kind: str, **more: Any) -> Accepted:
        action = actions(an_event(), id="basket", task_queue=self.queue, **more)[kind]
        return await dispatch(action, self.client, TIMEOUT)


@pytest.fixture
async def limited() -> AsyncIterator[Limited]:
    limits = ("history.maxTotalUpdates=2", "history.maximumSignalsPerExecution=2")
    more = [word for limit in limits for word in ("--dynamic-config-value", limit)]
    with TemporalServer(more=more) as server:
        server.wait_serving()
        client = await connect_to_temporal_with_retry(server.address)
        async with Worker(client, task_queue="q", workflows=[flows.Basket]):
            yield Limited(client, "q")


async def test_a_workflow_that_takes_no_more_is_not_the_servers_fault(limited: Limited) -> None:
    """More updates or signals than a run may have: its events are rejected, with the reason."""
    await limited.send("start")
    for _ in range(2):
        await limited.send("update")
        await limited.send("signal")
    for kind in ("update", "update_with_start"):
        with pytest.raises(EventRejected, match="total number of distinct updates"):
            await limited.send(kind)
    for kind in ("signal", "signal_with_start"):
        with pytest.raises(EventRejected, match="exceeded workflow execution limit for signal"):
            await limited.send(kind)


@pytest.mark.parametrize("kind", ["signal", "update"])
@pytest.mark.parametrize(
    "id_", ["namespace", "Namespace default is not found.", "received message larger than max"]
)
async def test_a_workflow_id_does_not_speak_for_the_server(
    temporal_server: TemporalServer, kind: str, id_: str
) -> None:
    """The server's text holds the ID, which the sender chooses."""
    client = await connected(temporal_server.address)
    assert await outcome(actions(an_event(), id=f"{id_} {uuid4().hex}")[kind], client) == EVENT


async def test_a_missing_namespace_is_no_events_fault(temporal_server: TemporalServer) -> None:
    """For none of the six: rejecting would empty a queue into the dead letters."""
    client = await connected(temporal_server.address, namespace="gone")
    for action in actions(an_event()).values():
        assert await outcome(action, client) == SERVER, action.kind


async def test_a_reason_names_the_types_that_were_sent(temporal_server: TemporalServer) -> None:
    """The server speaks of its own type only; the next step is in the route."""
    client = await connected(temporal_server.address)
    section = {
        "start": "Basket", "task_queue": "q", "search_attributes": {"Customer": "${{ event.data }}"}
    }  # fmt: skip
    settings = SECTION.validate_json(json.dumps(section))
    one = compile_route(settings, 0, listener="test", connection="", task_queue="q")
    assert isinstance(one, Route)
    action = route([one], an_event(42)).action
    assert action is not None
    with pytest.raises(EventRejected, match=r"Customer as Int; a route declares a type with"):
        await dispatch(action, client, TIMEOUT)
