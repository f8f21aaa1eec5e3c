"""The six actions against a real server, each done twice for one event."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError
from temporalio.worker import Worker

from temporal_runner import connect_to_temporal_with_retry
from temporal_runner.config.load import load
from temporal_runner.errors import EventRejected, TransientError
from temporal_runner.events.event import Accepted, Event
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.routing.routes import route
from temporal_runner.runtime.dispatch.actions import dispatch
from tests.conftest import WriteConfig
from tests.real import flows
from tests.support import TemporalServer, eventually

RPC_TIMEOUT = timedelta(seconds=5)


class Routes:
    """Carries events out by the routes of a config."""

    def __init__(self, client: Client, write_config: WriteConfig, queue: str) -> None:
        self.client = client
        self.queue = queue
        self._write_config = write_config

    async def __call__(self, event: Event, **settings: Any) -> Accepted:
        """Dispatch an event by one route with these settings, of the listener `listener`."""
        listener = settings.pop("listener", "test")
        config = {
            "import_paths": [str(Path(__file__).parents[2])],
            "listeners": {
                listener: {
                    "source": "webhook",
                    "options": {"verify": {"scheme": "none"}},
                    "routes": [settings],
                }
            },
        }
        path = self._write_config(json.dumps(config))  # JSON is YAML
        plan = make_plan(load(path), Catalog.installed())
        decision = route(plan.listeners[0].routes, event)
        assert decision.action is not None, decision.errors
        return await dispatch(decision.action, self.client, RPC_TIMEOUT)


@pytest.fixture
async def routes(
    temporal_server: TemporalServer, write_config: WriteConfig
) -> AsyncIterator[Routes]:
    """Routes on the shared server, with a worker on a task queue of the test's own."""
    client = await connect_to_temporal_with_retry(temporal_server.address)
    queue = f"actions-{uuid4().hex[:8]}"
    async with Worker(
        client, task_queue=queue, workflows=[flows.Echo, flows.Basket], activities=[flows.work]
    ):
        yield Routes(client, write_config, queue)


def an_event(number: int = 1, **data: Any) -> Event:
    """An event of its own for each test."""
    return Event(
        id=f"event-{number}-{uuid4().hex[:8]}",
        source="/tests",
        type="test.happened",
        subject="something",
        time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        data={"item": "book", "key": uuid4().hex[:8], **data},
    )


async def items(client: Client, workflow_id: str) -> list[Any]:
    """What a basket holds."""
    found: list[Any] = await client.get_workflow_handle(workflow_id).query("items")
    return found


async def test_start_once(routes: Routes) -> None:
    """The same event starts one workflow; the second time is a duplicate, running or closed."""
    event = an_event()
    settings = {"start": "Basket", "task_queue": routes.queue, "args": ["${{ event.data.item }}"]}
    first = await routes(event, **settings)
    second = await routes(event, **settings)
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.workflow_id == second.workflow_id
    assert event.id in (first.workflow_id or "")
    handle = routes.client.get_workflow_handle(first.workflow_id or "")
    await handle.signal("close")
    assert await handle.result() == ["book"]
    assert (await routes(event, **settings)).duplicate


async def test_start_leaves_a_trace_in_the_memo(routes: Routes) -> None:
    """Where the workflow came from is in its memo, beside the route's own entries."""
    event = an_event()
    accepted = await routes(
        event,
        start="Basket",
        task_queue=routes.queue,
        memo={"tenant": "${{ event.data.key }}"},
        static_summary="a basket",
        execution_timeout="1h",
        retry_policy={"maximum_attempts": 2},
        priority={"priority_key": 2, "fairness_key": "${{ event.data.key }}"},
    )
    described = await routes.client.get_workflow_handle(accepted.workflow_id or "").describe()
    memo = await described.memo()
    assert memo["event"] == {
        "id": event.id,
        "source": "/tests",
        "type": "test.happened",
        "subject": "something",
        "time": "2026-01-02T03:04:05+00:00",
        "listener": "test",
    }
    assert memo["tenant"] == event.data["key"]
    assert await described.static_summary() == "a basket"
    started = described.raw_description.workflow_execution_info
    assert started.priority.priority_key == 2
    assert started.priority.fairness_key == event.data["key"]
    config = described.raw_description.execution_config
    assert config.workflow_execution_timeout.seconds == 3600


async def test_start_with_search_attributes(routes: Routes) -> None:
    """Typed from the value, or as the route says."""
    accepted = await routes(
        an_event(amount=9.5),
        start="Basket",
        task_queue=routes.queue,
        search_attributes={
            "Customer": "${{ event.data.key }}",
            "Amount": {"type": "Double", "value": "${{ event.data.amount }}"},
        },
    )
    described = await routes.client.get_workflow_handle(accepted.workflow_id or "").describe()
    assert described.typed_search_attributes[SearchAttributeKey.for_float("Amount")] == 9.5


async def test_start_with_a_delay(routes: Routes) -> None:
    """The first task waits."""
    accepted = await routes(an_event(), start="Basket", task_queue=routes.queue, start_delay="1h")
    described = await routes.client.get_workflow_handle(accepted.workflow_id or "").describe()
    assert described.execution_time is not None
    assert described.execution_time - described.start_time > timedelta(minutes=59)


async def test_start_can_reject_or_signal_on_a_duplicate(routes: Routes) -> None:
    """`on_duplicate: fail` keeps the event as a dead letter, a signal brings it to the workflow."""
    event, workflow_id = an_event(), f"basket-{uuid4().hex}"
    start = {"start": "Basket", "task_queue": routes.queue, "id": workflow_id}
    await routes(event, **start)
    with pytest.raises(EventRejected, match="there is one of that ID already"):
        await routes(event, **start, on_duplicate="fail")
    signal = {"signal": "add", "args": ["${{ event.data.item }}"]}
    for _ in range(2):
        accepted = await routes(event, **start, on_duplicate=signal)
        assert accepted.duplicate
    assert await items(routes.client, workflow_id) == ["book"]


async def test_terminate_existing_starts_over(routes: Routes) -> None:
    """The newest event wins, where the route says so."""
    workflow_id = f"latest-{uuid4().hex}"
    start = {
        "start": "Basket",
        "task_queue": routes.queue,
        "id": workflow_id,
        "id_conflict_policy": "terminate_existing",
        "id_reuse_policy": "allow_duplicate",
    }
    first = await routes(an_event(), **start)
    second = await routes(an_event(), **start)
    assert first.run_id != second.run_id
    assert not second.duplicate


async def test_signal_once(routes: Routes) -> None:
    """The event's key is the signal's request ID: the server takes it once."""
    workflow_id = f"basket-{uuid4().hex}"
    await routes.client.start_workflow(flows.Basket.run, id=workflow_id, task_queue=routes.queue)
    event, other = an_event(), an_event(2, item="pen")
    settings = {"signal": "add", "id": workflow_id, "args": ["${{ event.data.item }}"]}
    for one in (event, event, other, event):
        await routes(one, **settings)
    assert await items(routes.client, workflow_id) == ["book", "pen"]


async def test_what_two_listeners_do_for_one_event_is_two_things(routes: Routes) -> None:
    """Their signals both arrive, though event, source and workflow are the same; each once."""
    workflow_id = f"basket-{uuid4().hex}"
    await routes.client.start_workflow(flows.Basket.run, id=workflow_id, task_queue=routes.queue)
    event = an_event()
    for _ in range(2):
        await routes(event, listener="a", signal="add", id=workflow_id, args=["audited"])
        await routes(event, listener="b", signal="add", id=workflow_id, args=["paid"])
        await routes(event, listener="b", signal="add_other", id=workflow_id, args=["packed"])
    assert await items(routes.client, workflow_id) == ["audited", "paid", "packed"]


async def test_ways_to_signal_are_not_taken_for_one_another(routes: Routes) -> None:
    """A signal, one with start and one of `on_duplicate`, each for one event and one workflow."""
    start = {"id": f"basket-{uuid4().hex}", "task_queue": routes.queue}
    event = an_event()
    for _ in range(2):
        await routes(event, **start, workflow="Basket", signal_with_start="add", args=["first"])
        await routes(event, id=start["id"], signal="add", args=["second"])
        duplicate = {"signal": "add", "args": ["third"]}
        await routes(event, **start, start="Basket", on_duplicate=duplicate)
    assert await items(routes.client, start["id"]) == ["first", "second", "third"]


@pytest.mark.parametrize("other", [{"listener": "b"}, {"update": "put_other"}])
async def test_no_update_is_answered_with_anothers_result(
    routes: Routes, other: dict[str, Any]
) -> None:
    """Another listener's, or another update of the same: each has its own result, again too."""
    workflow_id = f"basket-{uuid4().hex}"
    await routes.client.start_workflow(flows.Basket.run, id=workflow_id, task_queue=routes.queue)
    event = an_event()
    one = {"listener": "a", "update": "put", "id": workflow_id, "args": ["x"]}
    results = [
        (await routes(event, **settings, wait_for_result="5s")).result
        for settings in (one, one | other, one, one | other)
    ]
    assert results == [1, 2, 1, 2]


async def test_an_update_with_start_is_not_another_listeners(routes: Routes) -> None:
    """A sender that is trusted less cannot claim the IDs of one that is trusted more."""
    settings = {
        "update_with_start": "put",
        "workflow": "Basket",
        "task_queue": routes.queue,
        "id": f"basket-{uuid4().hex}",
        "args": ["${{ event.data.item }}"],
        "wait_for_result": "5s",
    }
    event = an_event()
    forged = replace(event, data={"item": "forged"})
    results = [
        (await routes(forged, listener="anybody", **settings)).result,
        (await routes(event, listener="bank", **settings)).result,
    ]
    assert results == [1, 2]
    assert await items(routes.client, str(settings["id"])) == ["forged", "book"]


async def test_a_signal_to_nobody_is_rejected(routes: Routes) -> None:
    """There is no such workflow: other events may do well, this one would not."""
    with pytest.raises(EventRejected, match=r"signal add .*NOT_FOUND"):
        await routes(an_event(), signal="add", id=f"nobody-{uuid4().hex}")


async def test_signal_with_start_once(routes: Routes) -> None:
    """Starts the workflow at the first event, and takes each event once."""
    settings = {
        "signal_with_start": "add",
        "workflow": "Basket",
        "task_queue": routes.queue,
        "id": f"basket-{uuid4().hex}",
        "args": ["${{ event.data.item }}"],
        "start_args": ["first"],
    }
    event, other = an_event(), an_event(2, item="pen")
    for one in (event, event, other, event):
        await routes(one, **settings)
    assert await items(routes.client, str(settings["id"])) == ["first", "book", "pen"]


async def test_update_once(routes: Routes) -> None:
    """The event's key is the update's ID."""
    workflow_id = f"basket-{uuid4().hex}"
    await routes.client.start_workflow(flows.Basket.run, id=workflow_id, task_queue=routes.queue)
    event, other = an_event(), an_event(2, item="pen")
    settings = {"update": "put", "id": workflow_id, "args": ["${{ event.data.item }}"]}
    for one in (event, event, other):
        await routes(one, **settings)
    assert await items(routes.client, workflow_id) == ["book", "pen"]


async def test_a_refused_update_is_rejected(routes: Routes) -> None:
    """What the workflow's validator refuses it would refuse again."""
    workflow_id = f"basket-{uuid4().hex}"
    await routes.client.start_workflow(flows.Basket.run, id=workflow_id, task_queue=routes.queue)
    with pytest.raises(EventRejected, match="not in this basket"):
        await routes(an_event(), update="put", id=workflow_id, args=["refuse me"])


async def test_update_with_start_once_and_its_result(routes: Routes) -> None:
    """The best fit for one entity with many events; the result goes back where it is wanted."""
    settings = {
        "update_with_start": "put",
        "workflow": "Basket",
        "task_queue": routes.queue,
        "id": f"basket-{uuid4().hex}",
        "args": ["${{ event.data.item }}"],
        "wait_for_result": "5s",
    }
    event, other = an_event(), an_event(2, item="pen")
    results = [(await routes(one, **settings)).result for one in (event, event, other)]
    assert results == [1, 1, 2]
    workflow_id = str(settings["id"])
    assert await items(routes.client, workflow_id) == ["book", "pen"]
    await routes.client.get_workflow_handle(workflow_id).signal("close")
    await routes.client.get_workflow_handle(workflow_id).result()
    assert (await routes(event, **settings)).result == 1, "a closed workflow was started anew"


@pytest.mark.parametrize("kind", ["signal_with_start", "update_with_start"])
async def test_what_a_closed_workflow_does_not_take_is_rejected(routes: Routes, kind: str) -> None:
    """That there is a workflow of the ID is no sign that it had this event: it is no duplicate."""
    settings = {
        kind: "add" if kind == "signal_with_start" else "put",
        "workflow": "Basket",
        "task_queue": routes.queue,
        "id": f"basket-{uuid4().hex}",
        "args": ["${{ event.data.item }}"],
        "id_reuse_policy": "reject_duplicate",
    }
    event = an_event()
    assert not (await routes(event, **settings)).duplicate
    handle = routes.client.get_workflow_handle(str(settings["id"]))
    await handle.signal("close")
    assert await handle.result() == ["book"]
    with pytest.raises(EventRejected, match=r"is closed, and .* \(reject_duplicate\)"):
        await routes(an_event(2), **settings)
    if kind == "update_with_start":  # the server remembers: it is done
        assert (await routes(event, **settings, wait_for_result="5s")).result == 1


async def test_an_update_that_no_worker_takes_is_transient(routes: Routes) -> None:
    """Nothing is durable before a worker accepted it: come again."""
    with pytest.raises(TransientError, match="no worker accepted the update in time"):
        await routes(
            an_event(),
            update_with_start="put",
            workflow="Basket",
            task_queue=f"nobody-{uuid4().hex}",
            id=f"basket-{uuid4().hex}",
        )


async def test_start_activity_once(routes: Routes) -> None:
    """A standalone activity, deduplicated by its ID."""
    event = an_event()
    settings = {
        "start_activity": "work",
        "task_queue": routes.queue,
        "args": [0],
        "start_to_close_timeout": "10s",
    }
    first = await routes(event, **settings)
    second = await routes(event, **settings)
    assert (first.duplicate, second.duplicate) == (False, True)
    handle = routes.client.get_activity_handle(first.workflow_id or "", run_id=first.run_id)
    assert await handle.result() == "finished"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"args": ["x" * 2_500_000]}, "Blob data size exceeds limit"),
        ({"args": ["x" * 5_000_000]}, "larger than max"),
        ({"search_attributes": {"Unknown": "x"}}, "no mapping defined for search attribute"),
    ],
)
async def test_what_temporal_will_never_take_is_rejected(
    routes: Routes, settings: dict[str, Any], reason: str
) -> None:
    """The fault is the event's or its route's, so it is not tried again."""
    with pytest.raises(EventRejected, match=reason):
        await routes(an_event(), start="Basket", task_queue=routes.queue, **settings)


async def test_a_missing_namespace_is_not_the_events_fault(
    temporal_server: TemporalServer, write_config: WriteConfig
) -> None:
    """Every event would fail the same way: none may go to the dead letters for it."""
    client = await Client.connect(temporal_server.address, namespace="gone")
    with pytest.raises(TransientError, match="NOT_FOUND"):
        await Routes(client, write_config, "q")(an_event(), start="Basket", task_queue="q")


async def test_without_the_request_id_a_signal_arrives_twice(routes: Routes) -> None:
    """The SDK's own signal, for comparison: what the request ID is for."""
    workflow_id = f"basket-{uuid4().hex}"
    handle = await routes.client.start_workflow(
        flows.Basket.run, id=workflow_id, task_queue=routes.queue
    )
    for _ in range(2):
        await handle.signal("add", "book")

    async def both_there() -> bool:
        try:
            return await items(routes.client, workflow_id) == ["book", "book"]
        except RPCError:
            return False

    await eventually(both_there)


@pytest.mark.parametrize("data", ["text", 42, True])
async def test_what_an_event_brings_becomes_the_type_that_the_namespace_has(
    routes: Routes, data: Any
) -> None:
    """A Keyword may come as a number, a Double as a text or a whole number."""
    accepted = await routes(
        an_event(customer=data, amount="12" if data == 42 else 12),
        start="Basket",
        task_queue=routes.queue,
        search_attributes={
            "Customer": {"type": "Keyword", "value": "${{ event.data.customer }}"},
            "Amount": {"type": "Double", "value": "${{ event.data.amount }}"},
        },
        priority={"fairness_key": "${{ event.data.customer }}"},
    )
    described = await routes.client.get_workflow_handle(accepted.workflow_id or "").describe()
    attributes = described.typed_search_attributes
    found = "true" if data is True else str(data)
    assert attributes[SearchAttributeKey.for_keyword("Customer")] == found
    assert attributes[SearchAttributeKey.for_float("Amount")] == 12.0
    assert described.raw_description.workflow_execution_info.priority.fairness_key == found


@pytest.mark.parametrize("unit", ["k", "é"])
async def test_keys_of_any_length_are_taken(routes: Routes, unit: str) -> None:
    """By all six actions: an event's ID, its source, a tenant's name."""
    event = replace(an_event(), id=unit * 3000, source=unit * 3000, data=unit * 3000)
    queue = {"task_queue": routes.queue}
    fair = {"priority": {"fairness_key": "${{ event.data }}"}}
    started = await routes(event, start="Basket", **queue, **fair)
    assert (await routes(event, start="Basket", **queue)).duplicate
    activity = {"start_activity": "work", "args": [0], "start_to_close_timeout": "10s"}
    await routes(event, **activity, **queue, **fair)
    assert (await routes(event, **activity, **queue)).duplicate
    target = {"id": started.workflow_id, "args": ["x"]}
    absent = {"workflow": "Basket", **queue}
    for _ in range(2):
        await routes(event, signal="add", **target)
        await routes(event, signal_with_start="add", **target, **absent)
        await routes(event, update="put", **target)
        await routes(event, update_with_start="put", **target, **absent)
    assert await items(routes.client, started.workflow_id or "") == ["x"] * 4
