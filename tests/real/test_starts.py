"""Starts by a route's pattern: to the server they are just what the SDK would have sent."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic_core import from_json, to_json
from temporalio.api.common.v1 import Payload
from temporalio.api.workflowservice.v1 import (
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)
from temporalio.client import Client, Interceptor
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import DataConverter, PayloadCodec
from temporalio.exceptions import WorkflowAlreadyStartedError

from temporal_runner.config.load import load
from temporal_runner.events.event import Event, Written
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.routing.actions import Start
from temporal_runner.routing.routes import route
from temporal_runner.runtime.connection.service import RequestIdService
from temporal_runner.runtime.dispatch.start_requests import Starts, starts_of
from tests.conftest import WriteConfig
from tests.support import TemporalServer

TIMEOUT = timedelta(seconds=10)
BODY = (
    b'{ "order": "A-1", "price": 1.50, "big": 12345678901234567890, "name": "\\u00e9", "x": null }'
)


class Recorded(RequestIdService):
    """The workflow service, which also notes every start that goes to the server."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.service_client)
        self.requests: list[StartWorkflowExecutionRequest] = []

    async def start_workflow_execution(
        self, req: StartWorkflowExecutionRequest, *args: Any, **how: Any
    ) -> StartWorkflowExecutionResponse:
        noted = StartWorkflowExecutionRequest()
        noted.CopyFrom(req)
        self.requests.append(noted)
        return await super().start_workflow_execution(req, *args, **how)


@dataclass
class Sent:
    """Starts made with one client, and the requests of them."""

    client: Client
    requests: list[StartWorkflowExecutionRequest] = field(init=False)

    def __post_init__(self) -> None:
        service = Recorded(self.client)
        self.client.service_client.workflow_service = service
        self.requests = service.requests


MakeActions = Callable[..., list[Start]]


@pytest.fixture
def actions(write_config: WriteConfig) -> MakeActions:
    """The actions of one start route, one for each event."""

    def make(*events: Event, **settings: Any) -> list[Start]:
        settings = {"start": "Nobody", "task_queue": f"none-{uuid4().hex[:8]}", **settings}
        source = {"source": "webhook", "options": {"verify": {"scheme": "none"}}}
        config = {
            "import_paths": [str(Path(__file__).parents[2])],
            "listeners": {"test": {**source, "routes": [settings]}},
        }
        plan = make_plan(load(write_config(json.dumps(config))), Catalog.installed())
        made = []
        for event in events:
            decision = route(plan.listeners[0].routes, event)
            assert isinstance(decision.action, Start), decision.errors
            made.append(decision.action)
        return made

    return make


def an_event(data: Any, written: Written | None = None) -> Event:
    return Event(
        id=uuid4().hex,
        source="/tests",
        type="test.happened",
        subject="something",
        time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        data=data,
        extensions={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        written=written,
    )


ROUTES: list[dict[str, Any]] = [
    {},
    {"args": ["${{ event.data }}"]},
    {"args": ["${{ event.data.order }}", "${{ event }}", 1, True, None, 1.5, {"a": ["b"]}]},
    {"args": ["${{ event.data.x }}"], "memo": {"mine": "${{ event.data }}", "none": None}},
    {
        "execution_timeout": "1h",
        "run_timeout": "30m",
        "task_timeout": "5s",
        "start_delay": "1s",
        "retry_policy": {"maximum_attempts": 3},
        "priority": {"priority_key": 2, "fairness_key": "${{ event.data.order }}"},
        "static_summary": "a summary",
        "static_details": "more of it",
    },
    {
        "search_attributes": {
            "Customer": "${{ event.data.order }}",
            "Amount": "${{ event.data.price }}",
        }
    },
    {"id_conflict_policy": "terminate_existing", "id_reuse_policy": "allow_duplicate"},
]


@pytest.mark.parametrize("settings", ROUTES, ids=lambda settings: ",".join(settings) or "bare")
async def test_a_pattern_sends_what_the_sdk_would(
    client: Client, actions: MakeActions, settings: dict[str, Any]
) -> None:
    """The second and later starts of a route are, field by field, the SDK's."""
    data = from_json(BODY)
    first, second = actions(an_event({**data, "order": "A-0"}), an_event(data), **settings)
    sent = Sent(client)
    taught = Starts(client)
    await taught.start(first, TIMEOUT)
    await taught.start(second, TIMEOUT)
    again = Starts(client)
    try:
        await again.start(second, TIMEOUT)
    except WorkflowAlreadyStartedError:
        assert "id_conflict_policy" not in settings
    by_pattern, by_sdk = sent.requests[1:]
    assert by_pattern.request_id != by_sdk.request_id
    by_pattern.request_id = by_sdk.request_id = ""
    assert by_pattern == by_sdk


async def test_a_duplicate_is_told_as_the_sdk_tells_it(
    client: Client, actions: MakeActions
) -> None:
    """A workflow of that ID is an error with its run, whichever way the start went."""
    first, second = actions(an_event("a"), an_event("b"))
    starts = Starts(client)
    await starts.start(first, TIMEOUT)
    run_id = await starts.start(second, TIMEOUT)
    with pytest.raises(WorkflowAlreadyStartedError) as by_pattern:
        await starts.start(second, TIMEOUT)
    with pytest.raises(WorkflowAlreadyStartedError) as by_sdk:
        await Starts(client).start(second, TIMEOUT)
    assert by_pattern.value.run_id == by_sdk.value.run_id == run_id
    assert by_pattern.value.workflow_id == by_sdk.value.workflow_id == second.id


async def test_a_body_that_is_handed_on_goes_as_it_came(
    client: Client, actions: MakeActions
) -> None:
    """`${{ event.data }}` is sent in the sender's own bytes; a worker reads the same value."""
    data = from_json(BODY)
    events = [an_event(dict(data)), an_event(data, Written(data, BODY))]
    first, second = actions(*events, args=["${{ event.data }}", "${{ event.data.name }}"])
    sent = Sent(client)
    starts = Starts(client)
    await starts.start(first, TIMEOUT)
    await starts.start(second, TIMEOUT)
    whole, part = sent.requests[1].input.payloads
    assert whole.data == BODY
    assert part.data == to_json(data["name"])
    converter = pydantic_data_converter.payload_converter
    assert converter.from_payloads([whole, part]) == [data, data["name"]]


async def test_data_that_was_changed_is_not_sent_as_it_came(
    client: Client, actions: MakeActions
) -> None:
    """The sender's bytes stand for the value that was parsed from them, and for no other."""
    event = an_event({"order": "changed"}, Written(from_json(BODY), BODY))
    first, second = actions(an_event("first"), event, args=["${{ event.data }}"])
    sent = Sent(client)
    starts = Starts(client)
    await starts.start(first, TIMEOUT)
    await starts.start(second, TIMEOUT)
    assert sent.requests[1].input.payloads[0].data == b'{"order":"changed"}'


class Reversed(PayloadCodec):
    """Writes every payload backwards."""

    async def encode(self, payloads: Any) -> list[Payload]:
        return [
            Payload(metadata={"encoding": b"reversed"}, data=one.data[::-1]) for one in payloads
        ]

    async def decode(self, payloads: Any) -> list[Payload]:
        return [
            Payload(metadata={"encoding": b"json/plain"}, data=one.data[::-1]) for one in payloads
        ]


class Upper(PydanticPayloadConverter):
    """A converter of the user's own."""


@pytest.mark.parametrize(
    "own",
    [
        {"data_converter": DataConverter(PydanticPayloadConverter, payload_codec=Reversed())},
        {"data_converter": DataConverter(Upper)},
        {"data_converter": pydantic_data_converter, "interceptors": [Interceptor()]},
    ],
    ids=["codec", "converter", "interceptor"],
)
async def test_whoever_takes_part_in_a_request_is_asked(
    temporal_server: TemporalServer, actions: MakeActions, own: dict[str, Any]
) -> None:
    """With a codec, a converter or an interceptor the SDK writes each request."""
    client = await Client.connect(temporal_server.address, **own)
    data = from_json(BODY)
    first, second = actions(
        an_event("first"), an_event(data, Written(data, BODY)), args=["${{ event.data }}"]
    )
    sent = Sent(client)
    starts = Starts(client)
    await starts.start(first, TIMEOUT)
    await starts.start(second, TIMEOUT)
    expected = (await client.data_converter.encode([data]))[0]
    assert sent.requests[1].input.payloads[0] == expected


async def test_a_client_that_is_given_up_goes(temporal_server: TemporalServer) -> None:
    """What is remembered of a client's routes does not keep it."""
    client = await Client.connect(temporal_server.address)
    starts_of(client)
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None
