"""A listener with an inbox, on a real server and a real disk: acknowledged once it is on disk."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import Client

from temporal_runner.errors import PermanentError, TransientError
from temporal_runner.events.event import Event
from temporal_runner.runtime.storage.inbox import Inbox
from tests.conftest import WriteConfig
from tests.real.test_listeners import MakeSystem, System, make_system  # noqa: F401
from tests.support import TemporalServer, eventually, run_runner


def of(number: int, data: object = None) -> Event:
    return Event(id=f"event-{number}", source="test", type="put", data=data)


async def put(inbox: Inbox, number: int, *, key: str = "", data: object = None) -> bool:
    event = of(number, data)
    return await inbox.put(event, event.id, key or event.id)


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    """An inbox with little room."""
    inbox = Inbox(tmp_path / "inbox.db", max_size=1000, max_age=timedelta(days=1))
    await inbox.open()
    yield inbox
    await inbox.close()


def with_inbox(folder: Path, more: str = "") -> str:
    return f'inbox: {{path: "{folder}/inbox.db"{more}}}'


async def without_temporal(system: System, server: TemporalServer) -> None:
    """Start a system whose Temporal goes away before the first event."""
    server.start()
    server.wait_serving()
    await system.start()
    await system.until(lambda: system.connection.ready)
    server.kill()
    system.connection.suspect()
    await system.until(lambda: not system.connection.ready)


# A listener with an inbox. ------------------------------------------------------------------------


async def test_events_are_acknowledged_while_temporal_is_away_and_dispatched_when_it_is_back(
    make_system: MakeSystem,  # noqa: F811
    own_temporal_server: TemporalServer,
    tmp_path: Path,
) -> None:
    """The source is done with them at once; nothing is lost and nothing doubled."""
    system = make_system(own_temporal_server.address, with_inbox(tmp_path))
    await without_temporal(system, own_temporal_server)
    names = [f"event-{number}" for number in range(50)]
    system.store.put(*names, kind="start")
    await system.until(lambda: len(system.store.settled) == 50, "the acknowledgements")
    assert {how for _, how in system.store.settled} == {"ack"}
    assert system.listener.counts == {"received": 50, "stored": 50}
    assert system.listener.ready
    assert system.listener.status()["inbox"]["events"] == 50
    own_temporal_server.start()
    await system.until(lambda: system.listener.counts["accepted"] == 50, "the dispatch")
    await system.until(lambda: system.listener.status()["inbox"]["events"] == 0)
    client = await Client.connect(own_temporal_server.address)
    for name in names:
        await client.get_workflow_handle(f"{system.unique}-{name}").describe()
    assert system.listener.counts == {"received": 50, "stored": 50, "accepted": 50}


async def test_what_an_earlier_run_left_is_dispatched_in_its_order(
    make_system: MakeSystem,  # noqa: F811
    temporal_server: TemporalServer,
    own_temporal_server: TemporalServer,
    tmp_path: Path,
) -> None:
    """Events with one ordering key reach Temporal in the order in which they were acknowledged."""
    away = make_system(own_temporal_server.address, with_inbox(tmp_path))
    await without_temporal(away, own_temporal_server)
    names = [f"event-{number:02}" for number in range(30)]
    away.store.put(*names, key="one key", kind="start")
    await away.until(lambda: len(away.store.settled) == 30)
    await away.stop()
    back = make_system(temporal_server.address, with_inbox(tmp_path))
    await back.start()
    await back.until(lambda: back.listener.counts["accepted"] == 30)
    client = await Client.connect(temporal_server.address)
    started = {}
    for name in names:
        described = await client.get_workflow_handle(f"{back.unique}-{name}").describe()
        started[name] = described.start_time
    assert sorted(names, key=lambda name: started[name]) == names
    assert back.store.settled == []


async def test_an_event_that_temporal_refuses_becomes_a_dead_letter(
    make_system: MakeSystem,  # noqa: F811
    temporal_server: TemporalServer,
    tmp_path: Path,
) -> None:
    """Its sender was answered long ago: the runner keeps it, with the reason."""
    system = make_system(temporal_server.address, with_inbox(tmp_path))
    await system.start()
    system.store.put("bad", kind="signal")
    await system.until(lambda: system.listener.counts["rejected"])
    await system.until(lambda: system.listener.status()["inbox"]["events"] == 0)
    assert system.store.settled == [("bad", "ack")]
    [letter] = await system.dead_letters.find()
    assert letter.listener == "memory"
    assert letter.event.id == "bad"
    assert letter.event.data == {"kind": "signal"}
    assert "NOT_FOUND" in letter.reason


async def test_ids_that_a_sender_chooses_stop_no_inbox(
    make_system: MakeSystem,  # noqa: F811
    temporal_server: TemporalServer,
    tmp_path: Path,
) -> None:
    """A hundred Workflow IDs with "namespace" in them are a hundred dead letters, and no outage."""
    system = make_system(temporal_server.address, with_inbox(tmp_path))
    await system.start()
    system.store.put(*(f"namespace {number}" for number in range(100)), kind="else")
    system.store.put("good", kind="start")
    await system.until(lambda: system.listener.counts["accepted"])
    await system.until(lambda: system.listener.counts["rejected"] == 100)
    await system.until(lambda: system.listener.status()["inbox"]["events"] == 0)
    assert system.listener.ready
    assert len(await system.dead_letters.find()) == 100


async def test_a_full_inbox_pauses_its_source(
    make_system: MakeSystem,  # noqa: F811
    own_temporal_server: TemporalServer,
    tmp_path: Path,
) -> None:
    """What fits is acknowledged; the rest waits in the source and goes through later."""
    more = with_inbox(tmp_path, ", max_size: 1kB")
    system = make_system(own_temporal_server.address, more)
    await without_temporal(system, own_temporal_server)
    names = [f"event-{number:02}" for number in range(40)]
    system.store.put(*names, kind="start")
    await system.until(lambda: "full" in system.listener.error, "the inbox to be full")
    assert not system.listener.ready
    stored = len(system.store.settled)
    assert 0 < stored < 40
    await system.until(lambda: not system.store.receiving)
    own_temporal_server.start()
    await system.until(lambda: len(system.store.settled) == 40, "all to go through")
    await system.until(lambda: system.listener.counts["accepted"] == 40)
    assert {how for _, how in system.store.settled} == {"ack"}


async def test_a_second_runner_waits_for_the_inbox(
    make_system: MakeSystem,  # noqa: F811
    temporal_server: TemporalServer,
    tmp_path: Path,
) -> None:
    """Two that dispatch from one inbox would break its order: the second says who it waits for."""
    first = make_system(temporal_server.address, with_inbox(tmp_path))
    await first.start()
    await first.until(lambda: first.store.receiving)
    second = make_system(temporal_server.address, with_inbox(tmp_path))
    with pytest.raises(TransientError, match="in use by another process"):
        await second.listener.run()
    assert "in use" in second.listener.error
    await first.stop()
    await second.start()
    await second.until(lambda: second.store.receiving)


# The store. ---------------------------------------------------------------------------------------


async def test_an_event_comes_back_as_it_was(inbox: Inbox) -> None:
    """Also what JSON can hold and SQLite cannot: halves of characters."""
    event = Event(
        id="half \ud800",
        source="s",
        type="t",
        subject="é",
        data={"text": "\udfff", "n": [1, 2.5, None]},
        extensions={"traceparent": "00-1"},
    )
    assert await inbox.put(event, "key \ud800", "order \ud800")
    [entry] = await inbox.take(10)
    assert entry.event == event


async def test_one_event_is_kept_once(inbox: Inbox) -> None:
    """A redelivery of what waits is a duplicate, and takes no room."""
    assert await put(inbox, 1)
    size = inbox.bytes
    assert not await put(inbox, 1)
    assert (inbox.events, inbox.bytes) == (1, size)


async def test_an_event_that_comes_again_after_its_removal_is_given_out_again(
    inbox: Inbox,
) -> None:
    """Places in the order are never used twice, so that a new event is not taken for an old one."""
    for _ in range(3):
        assert await put(inbox, 1)
        [entry] = await inbox.take(10)
        await inbox.remove(entry)
    assert (inbox.events, inbox.bytes, inbox.oldest) == (0, 0, 0)


async def test_no_room_is_an_answer_and_room_comes_with_a_removal(inbox: Inbox) -> None:
    """By size; one event that is larger than the whole inbox still goes through an empty one."""
    await put(inbox, 1, data="x" * 2000)
    with pytest.raises(TransientError, match=r"full .* max_size 1000") as refused:
        await put(inbox, 2)
    assert refused.value.retry_after
    waiting = asyncio.create_task(inbox.wait_room())
    [entry] = await inbox.take(10)
    assert not waiting.done()
    await inbox.remove(entry)
    await asyncio.wait_for(waiting, 10)
    await put(inbox, 2)


async def test_an_inbox_that_is_stuck_takes_no_more(tmp_path: Path) -> None:
    """By age: senders learn that nothing moves, and no event gets too old unseen."""
    inbox = Inbox(tmp_path / "inbox.db", max_size=10**6, max_age=timedelta(milliseconds=50))
    await inbox.open()
    await put(inbox, 1)
    await eventually(lambda: _is_stuck(inbox), what="the inbox to be stuck")
    with pytest.raises(TransientError, match="stuck"):
        await put(inbox, 2)
    [entry] = await inbox.take(10)
    await inbox.remove(entry)
    await put(inbox, 2)
    await inbox.close()


async def _is_stuck(inbox: Inbox) -> bool:
    return "stuck" in inbox.refusal()


async def test_many_events_share_a_commit(inbox: Inbox, tmp_path: Path) -> None:
    """One fsync for many: what waits while one is under way goes into the next together."""
    inbox = Inbox(tmp_path / "large.db", max_size=10**9, max_age=timedelta(days=1))
    await inbox.open()
    assert all(await asyncio.gather(*(put(inbox, number) for number in range(2000))))
    # A commit writes at least one page to the log; one for each event would be 2,000 of them.
    pages = (tmp_path / "large.db-wal").stat().st_size / 4096
    assert inbox.events == 2000
    assert pages < 2000
    await inbox.close()


async def test_what_put_returned_from_is_on_disk(inbox: Inbox, tmp_path: Path) -> None:
    """A copy of the files, as a crash leaves them, has every event that was acknowledged."""
    await asyncio.gather(*(put(inbox, number) for number in range(5)))
    for end in ("", "-wal"):
        shutil.copy(f"{inbox.file}{end}", f"{tmp_path}/crashed.db{end}")
    copy = Inbox(tmp_path / "crashed.db", max_size=10**6, max_age=timedelta(days=1))
    await copy.open()
    assert copy.events == 5
    entries = await copy.take(100)
    assert [entry.event.id for entry in entries] == [f"event-{number}" for number in range(5)]
    await copy.close()


async def test_a_file_that_is_no_inbox_is_refused_with_a_next_step(tmp_path: Path) -> None:
    """It is left as it is."""
    file = tmp_path / "notes.txt"
    file.write_text("not a database at all, but a text of some length" * 100)
    inbox = Inbox(file, max_size=1000, max_age=timedelta(days=1))
    with pytest.raises(PermanentError, match=r"not a database[^$]*next step"):
        await inbox.open()
    assert file.read_text().startswith("not a database")


def test_two_listeners_cannot_share_an_inbox(write_config: WriteConfig) -> None:
    """Nor can one wait for a result that comes after its sender was answered: both at validate."""
    config = write_config("""
        listeners:
          a:
            source: webhook
            options: {path: /a, verify: {scheme: none}}
            inbox: {path: inbox.db}
            routes: [{start: Chat, task_queue: q}]
          b:
            source: webhook
            options: {path: /b, verify: {scheme: none}}
            inbox: {path: ./inbox.db}
            routes:
              - {update_with_start: a, workflow: Chat, task_queue: q, id: c, wait_for_result: 5s}
        """)
    code, output = run_runner("validate", config)
    assert code == 2
    assert "listeners.b.inbox.path: the listener a has that inbox already" in output
    assert "wait_for_result: with an inbox the sender is answered before" in output
