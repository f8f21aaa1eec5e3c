"""What a listener makes of a pulled source, on a real server: each delivery settled once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowHistoryEventFilterType

from temporal_runner.config.load import load
from temporal_runner.errors import GaveUp, PermanentError
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.runtime.connection.temporal import TemporalConnection
from temporal_runner.runtime.listeners.component import Listener
from temporal_runner.runtime.storage.dead_letters import DeadLetters
from tests.conftest import WriteConfig
from tests.real.memory import Store, stores
from tests.support import TemporalServer, eventually

CONFIG = """
plugins: [{root}/tests/real/memory.py]
import_paths: [{root}]
temporal: {{address: "{address}", rpc_timeout: 2s{connection}}}
dead_letters: {{path: "{folder}/dead-letters.db"}}
retry: {{base_delay: 10ms, max_delay: 50ms, max_attempts: 5}}
listeners:
  memory:
    source: memory
    options: {{store: "{unique}"}}
    max_in_flight: 5
    {more}
    routes:
      - when: event.data.kind == "start"
        start: Basket
        task_queue: nobody-works-here
        id: {unique}-${{{{ event.id }}}}
      - when: event.data.kind == "signal"
        signal: add
        id: {unique}-nobody
      - when: event.id.startsWith("namespace")
        signal: add
        id: ${{{{ event.id }}}}-{unique}
"""


class System:
    """One listener with its connection, run as the supervisor runs them."""

    def __init__(
        self, write_config: WriteConfig, address: str, more: str = "", connection: str = ""
    ) -> None:
        self.unique = uuid4().hex[:8]
        self.store = stores[self.unique] = Store()
        root = Path(__file__).parents[2]
        file = write_config("")
        text = CONFIG.format(
            root=root,
            address=address,
            unique=self.unique,
            more=more,
            connection=connection,
            folder=file.parent,
        )
        plan = make_plan(load(write_config(text)), Catalog.installed())
        self.connection = TemporalConnection(plan.connections[""])
        dead_letters = plan.dead_letters
        self.dead_letters = DeadLetters(dead_letters.path, max_size=dead_letters.max_size)
        self.listener = Listener(plan.listeners[0], {"": self.connection}, self.dead_letters)
        self.connecting: asyncio.Task[None] | None = None
        self.listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.dead_letters.open()
        self.connecting = asyncio.create_task(self.connection.run())
        self.listening = asyncio.create_task(self.listener.run())

    async def stop(self) -> None:
        for task in (self.listening, self.connecting):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.dead_letters.close()

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        async def holds() -> bool:
            return bool(condition())

        await eventually(holds, what=what)


MakeSystem = Callable[..., System]


@pytest.fixture
async def make_system(write_config: WriteConfig) -> AsyncIterator[MakeSystem]:
    """Makes systems, and stops them."""
    made: list[System] = []

    def make(address: str, more: str = "", connection: str = "") -> System:
        made.append(System(write_config, address, more, connection))
        return made[-1]

    yield make
    for one in made:
        await one.stop()


async def test_an_event_is_acknowledged_once_temporal_has_it(
    make_system: MakeSystem, temporal_server: TemporalServer, client: Client
) -> None:
    """The workflow that the acknowledgement names is there."""
    system = make_system(temporal_server.address)
    await system.start()
    system.store.put("a", kind="start")
    await system.until(lambda: system.store.settled)
    assert system.store.settled == [("a", "ack")]
    accepted = system.store.accepted[0]
    assert accepted.action == "start"
    handle = client.get_workflow_handle(accepted.workflow_id or "", run_id=accepted.run_id)
    filter_type = WorkflowHistoryEventFilterType.ALL_EVENT
    assert [event async for event in handle.fetch_history_events(event_filter_type=filter_type)]


async def test_a_redelivery_is_acknowledged_as_a_duplicate(
    make_system: MakeSystem, temporal_server: TemporalServer
) -> None:
    """Starts nothing, and is done with."""
    system = make_system(temporal_server.address)
    await system.start()
    system.store.put("a", kind="start")
    await system.until(lambda: len(system.store.settled) == 1)
    system.store.put("a", kind="start")
    await system.until(lambda: len(system.store.settled) == 2)
    assert [accepted.duplicate for accepted in system.store.accepted] == [False, True]
    assert system.listener.counts == {"received": 2, "accepted": 1, "duplicate": 1}


async def test_while_temporal_is_away_nothing_is_pulled_and_what_is_in_hand_is_held(
    make_system: MakeSystem, own_temporal_server: TemporalServer
) -> None:
    """No nack, no loss: the events go through when the server is back."""
    own_temporal_server.start()
    own_temporal_server.wait_serving()
    system = make_system(own_temporal_server.address)
    await system.start()
    await system.until(lambda: system.store.receiving, "the first receive")
    own_temporal_server.kill()
    system.store.put("held", kind="start")
    await system.until(lambda: not system.connection.ready, "the loss to be seen")
    # A receive that was under way at the loss is let finish: it may have messages already.
    await system.until(lambda: system.store.receiving)
    system.store.put("held too", kind="start")
    await system.until(lambda: system.store.in_hand == 2)
    system.store.put("not pulled", kind="start")
    assert not system.store.receiving
    assert system.store.waiting.qsize() == 1
    assert system.store.settled == []
    own_temporal_server.start()
    await system.until(lambda: len(system.store.settled) == 3, "all to go through")
    assert {how for _, how in system.store.settled} == {"ack"}


async def test_a_drain_in_an_outage_hands_back_what_is_held(
    make_system: MakeSystem, own_temporal_server: TemporalServer
) -> None:
    """Stopping does not wait for Temporal: the events go back to where they came from."""
    own_temporal_server.start()
    own_temporal_server.wait_serving()
    system = make_system(own_temporal_server.address)
    await system.start()
    await system.until(lambda: system.store.receiving)
    own_temporal_server.kill()
    system.store.put(*(f"event-{number}" for number in range(8)), kind="start")
    await system.until(lambda: system.store.in_hand == 8)
    await system.until(lambda: not system.connection.ready)
    await system.stop()
    assert sorted(system.store.settled) == [(f"event-{number}", "nack") for number in range(8)]
    assert system.store.closed == system.store.connected == 1


async def test_a_drain_lets_what_is_under_way_finish(
    make_system: MakeSystem, temporal_server: TemporalServer
) -> None:
    """Each event in hand is settled, none twice, before the source is closed."""
    system = make_system(temporal_server.address)
    await system.start()
    await system.until(lambda: system.store.receiving)
    names = [f"event-{number:03}" for number in range(500)]
    system.store.put(*names, kind="start")
    await system.until(lambda: system.store.settled)
    await system.stop()
    given = 500 - system.store.waiting.qsize()
    assert sorted(name for name, _ in system.store.settled) == names[:given]
    assert system.store.closed == 1


async def test_no_more_in_flight_than_the_config_says(
    make_system: MakeSystem, temporal_server: TemporalServer
) -> None:
    """A batch is taken when there is room for one more, so at most a batch above the limit."""
    system = make_system(temporal_server.address)
    system.store.put(*(f"event-{number}" for number in range(100)), kind="start")
    await system.start()
    await system.until(lambda: len(system.store.settled) == 100)
    assert system.store.most_in_hand <= 5 + 10


async def test_one_key_is_handled_in_order(
    make_system: MakeSystem, temporal_server: TemporalServer
) -> None:
    """Events with the same ordering key one after the other; others meanwhile."""
    system = make_system(temporal_server.address)
    for number in range(20):
        system.store.put(f"a-{number:02}", key="a", kind="start")
        system.store.put(f"b-{number:02}", key="b", kind="start")
    await system.start()
    await system.until(lambda: len(system.store.settled) == 40)
    for key in "ab":
        own = [name for name, _ in system.store.settled if name.startswith(key)]
        assert own == sorted(own)


async def test_events_that_cannot_succeed_are_rejected(
    make_system: MakeSystem, temporal_server: TemporalServer
) -> None:
    """A filter that cannot be evaluated, and an action that Temporal refuses; others go on."""
    system = make_system(temporal_server.address)
    await system.start()
    system.store.put("no-kind")
    system.store.put("to-nobody", kind="signal")
    system.store.put("unwanted", kind="else")
    system.store.put("good", kind="start")
    await system.until(lambda: len(system.store.settled) == 4)
    settled = dict(system.store.settled)
    assert settled["no-kind"].startswith("reject: routes[0] start Basket: when: event.data.kind")
    assert "the event has no 'kind' there" in settled["no-kind"]
    assert settled["to-nobody"].startswith("reject: signal add")
    assert settled["unwanted"] == "ack"
    assert settled["good"] == "ack"
    assert system.listener.counts["filter_error"] == 2
    assert system.listener.counts["ignored"] == 1


async def test_unwanted_events_can_be_rejected(
    make_system: MakeSystem, temporal_server: TemporalServer
) -> None:
    """`unmatched: reject`."""
    system = make_system(temporal_server.address, "unmatched: reject")
    await system.start()
    system.store.put("unwanted", kind="else")
    await system.until(lambda: system.store.settled)
    assert system.store.settled == [("unwanted", "reject: no route wants this event")]


async def test_a_source_that_fails_is_connected_anew(
    make_system: MakeSystem, temporal_server: TemporalServer
) -> None:
    """However often, once it worked: closed, a new object, and nothing lost."""
    system = make_system(temporal_server.address)
    await system.start()
    await system.until(lambda: system.store.receiving)
    system.store.receive_failures = [OSError("gone")] * 12  # more than max_attempts
    system.store.put("before", kind="start")
    await system.until(lambda: not system.store.receive_failures)
    system.store.put("after", kind="start")
    await system.until(lambda: len(system.store.settled) == 2)
    assert [how for _, how in system.store.settled] == ["ack", "ack"]
    assert system.store.closed == system.store.connected - 1 == 12


async def test_a_source_that_cannot_be_connected_gives_up_in_the_end(
    make_system: MakeSystem, temporal_server: TemporalServer
) -> None:
    """The first connection has limits: after them the runner says so and exits."""
    system = make_system(temporal_server.address)
    system.store.connect_failures = [OSError("not there")] * 5
    with pytest.raises(GaveUp, match=r"source memory: gave up after 5 attempts.*not there"):
        await system.listener.run()
    assert system.store.closed == 5


async def test_a_permanent_failure_ends_at_once(
    make_system: MakeSystem, temporal_server: TemporalServer
) -> None:
    """Wrong credentials are not tried again."""
    system = make_system(temporal_server.address)
    system.store.connect_failures = [PermanentError("wrong key", next_step="set the right one")]
    with pytest.raises(PermanentError, match="wrong key"):
        await system.listener.run()


async def test_a_settlement_that_fails_is_not_repeated_and_harms_nothing(
    make_system: MakeSystem, temporal_server: TemporalServer
) -> None:
    """The source delivers the event again, and it is a duplicate then."""
    system = make_system(temporal_server.address)
    system.store.settle_failures = [OSError("queue gone")]
    await system.start()
    system.store.put("a", kind="start")
    system.store.put("b", kind="start")
    await system.until(lambda: len(system.store.settled) == 2)
    assert [system.store.how(name) for name in "ab"] == [["ack"], ["ack"]]
    assert system.listener.ready
