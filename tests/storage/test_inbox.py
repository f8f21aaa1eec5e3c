"""An inbox whose rows, reads and file fail: what can be read goes on, the rest is set aside."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from temporal_runner.errors import EventRejected, TransientError
from temporal_runner.events.event import Event
from temporal_runner.retry.backoff import Backoff, NoOptions, Timing, exponential
from temporal_runner.runtime.storage.event_rows import UNREADABLE
from temporal_runner.runtime.storage.inbox import Inbox
from temporal_runner.runtime.storage.inbox_source import InboxSource
from tests.support import eventually

SOON = Backoff("test", exponential, Timing(0.01, 0.2), NoOptions(), "none")
BAD_ROWS: list[Any] = [
    b"{not JSON",
    b"\xff\xfe not UTF-8",
    b"",
    b"null",
    b"[1, 2]",
    b'"text"',
    b"{}",
    b'{"id": 5, "source": "s", "type": "t"}',
    b'{"id": "a", "source": "s"}',
    b'{"id": "a", "source": "s", "type": "t", "time": "yesterday"}',
    b'{"id": "a", "source": "s", "type": "t", "time": 5}',
    b'{"id": "a", "source": "s", "type": "t", "data": ' + b"[" * 100_000,
    b'{"id": "a", "source": "s", "type": "t", "data": ' + b"1" * 5000 + b"}",
    42,
    4.5,
    "plain text",
    "a\x00b",
]


def of(name: object) -> Event:
    return Event(id=str(name), source="test", type="put")


def make(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox.db", max_size=10**9, max_age=timedelta(days=99999), backoff=SOON)


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    inbox = make(tmp_path)
    await inbox.open()
    yield inbox
    await inbox.close()


async def put(inbox: Inbox, *names: object, key: str = "") -> None:
    for name in names:
        await inbox.put(of(name), str(name), key or str(name))


async def spoil(inbox: Inbox, name: str, value: Any, column: str = "event") -> None:
    """Write into a row what nobody expects there."""
    await inbox._database.run(
        lambda connection: connection.execute(
            f"UPDATE events SET {column} = ? WHERE event_key = ?",
            (value, name),
        )
    )


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("row", BAD_ROWS)
async def test_a_row_that_cannot_be_read_stops_no_other(
    inbox: Inbox, row: Any, as_text: bool
) -> None:
    """What is left of it is given out as unreadable, which makes it a dead letter."""
    await put(inbox, "before", "bad", "after")
    await spoil(inbox, "bad", row)
    if as_text:
        await inbox._database.run(
            lambda connection: connection.execute(
                "UPDATE events SET event = CAST(event AS TEXT) WHERE event_key = 'bad'"
            )
        )
    deliveries = await InboxSource(inbox, 10).receive()
    assert [one.event.id for one in deliveries] == ["before", "bad", "after"]
    bad = deliveries[1]
    assert f"row 2 of the inbox {inbox.file} cannot be read: " in bad.unreadable
    assert len(bad.unreadable) <= 2000
    assert bad.event.type == UNREADABLE
    assert deliveries[0].unreadable == deliveries[2].unreadable == ""
    for one in deliveries:
        await one.reject("")
    assert inbox.events == 0


@pytest.mark.parametrize("value", [b"\xff", 5, "", "x" * 100_000])
@pytest.mark.parametrize("column", ["ordering_key", "received", "event_key"])
async def test_other_columns_hold_anything_too(
    inbox: Inbox, tmp_path: Path, column: str, value: Any
) -> None:
    """The event itself can be read, and goes on."""
    await put(inbox, "one", "two")
    await spoil(inbox, "one", value, column)
    await inbox.close()
    again = make(tmp_path)
    await again.open()
    assert again.oldest >= 0.0
    entries = await again.take(10)
    assert [entry.event.id for entry in entries] == ["one", "two"]
    for entry in entries:
        await again.remove(entry)
    await again.close()
    await inbox.open()


async def test_rows_with_places_below_the_first_are_given_out(inbox: Inbox) -> None:
    """As a hand may have written them."""
    await inbox._database.run(
        lambda connection: connection.execute(
            "INSERT INTO events VALUES (-7, 'k', 'k', 0.0,"
            """ '{"id": "old", "source": "s", "type": "t"}')"""
        )
    )
    await inbox.close()
    await inbox.open()
    [entry] = await inbox.take(10)
    assert entry.event.id == "old"


async def test_a_read_that_fails_loses_no_wake_up(inbox: Inbox) -> None:
    """Nothing else arrives afterwards: what was there is given out by the next try."""
    await put(inbox, "one")
    await inbox._database.run(
        lambda connection: connection.execute("ALTER TABLE events RENAME TO away")
    )
    with pytest.raises(TransientError, match="no such table"):
        await inbox.take(10)
    await inbox._database.run(
        lambda connection: connection.execute("ALTER TABLE away RENAME TO events")
    )
    async with asyncio.timeout(10):
        [entry] = await inbox.take(10)
    assert entry.event.id == "one"


async def test_a_read_that_is_cancelled_loses_no_wake_up(inbox: Inbox) -> None:
    """Nor does one of what is to come again."""
    await put(inbox, "one")
    for _ in range(20):
        taking = asyncio.create_task(inbox.take(10))
        await asyncio.sleep(0)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
    async with asyncio.timeout(10):
        [entry] = await inbox.take(10)
        inbox.again(entry, 0.0)
        for _ in range(20):
            taking = asyncio.create_task(inbox.take(10))
            await asyncio.wait({taking}, timeout=0.03)
            if taking.done():
                break
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
        entries = taking.result() if taking.done() and not taking.cancelled() else None
        assert [one.id for one in entries or await inbox.take(10)] == [entry.id]


async def test_a_removal_that_fails_is_tried_again_by_itself(inbox: Inbox) -> None:
    """No other event has to come for it, and the error goes when writing works again."""
    watching = asyncio.create_task(inbox.watch())
    await put(inbox, "one")
    [entry] = await inbox.take(10)
    await inbox._database.run(
        lambda connection: connection.execute(
            "CREATE TEMP TRIGGER no_removal BEFORE DELETE ON main.events"
            " BEGIN SELECT RAISE(ABORT, 'not now'); END"
        )
    )
    with pytest.raises(TransientError, match="not now"):
        await inbox.remove(entry)
    assert "not now" in inbox.error
    await inbox._database.run(lambda connection: connection.execute("DROP TRIGGER no_removal"))
    await eventually(lambda: _is_well(inbox, events=0), what="the removal")
    watching.cancel()


async def test_a_write_that_failed_once_does_not_stand_as_the_error_for_ever(
    inbox: Inbox,
) -> None:
    """A listener that is not ready gets no event that could prove it well again."""
    watching = asyncio.create_task(inbox.watch())
    await inbox._database.run(
        lambda connection: connection.execute("ALTER TABLE events RENAME TO away")
    )
    with pytest.raises(TransientError):
        await put(inbox, "one")
    assert "no such table" in inbox.error
    await inbox._database.run(
        lambda connection: connection.execute("ALTER TABLE away RENAME TO events")
    )
    await eventually(lambda: _is_well(inbox, events=0), what="the error to go")
    watching.cancel()


async def _is_well(inbox: Inbox, events: int) -> bool:
    return not inbox.error and inbox.events == events


class Shy:
    def __str__(self) -> str:
        raise RuntimeError("not to be shown")


@pytest.mark.parametrize("data", [Shy(), {(1, 2): 3}, [[]]], ids=["shy", "keys", "circular"])
async def test_an_event_without_a_form_in_json_is_rejected(inbox: Inbox, data: Any) -> None:
    """It would fail the same way each time."""
    if data == [[]]:
        data[0].append(data)
    with pytest.raises(EventRejected, match="no form in JSON"):
        await inbox.put(Event(id="a", source="s", type="t", data=data), "a", "a")
    await put(inbox, "next")


# What failed comes again. -------------------------------------------------------------------------


async def test_what_is_handed_back_comes_again_by_itself_in_the_order_of_its_key(
    inbox: Inbox,
) -> None:
    """Others overtake it, those with its key do not, whether they were given out or not."""
    await put(inbox, "a1", "a2", key="a")
    await put(inbox, "b1", key="b")
    source = InboxSource(inbox, 10)
    first = {one.event.id: one for one in await source.receive()}
    await put(inbox, "a3", key="a")
    await first["a1"].nack("failed")
    await first["a2"].nack("the one before it comes again", retry_after=1.0)
    order: list[str] = []
    await put(inbox, "b2", key="b")
    async with asyncio.timeout(20):
        while len(order) < 6:
            for one in await source.receive():
                order.append(one.event.id)
                if one.event.id == "a1" and order.count("a1") < 3:
                    await one.nack("failed again")
                else:
                    await one.reject("")
    assert [one for one in order if one.startswith("a")] == ["a1", "a1", "a1", "a2", "a3"]
    assert order[0] == "b2"
    assert inbox.failing == 0


async def test_many_that_fail_leave_room_for_the_others(inbox: Inbox) -> None:
    """Though all of them are due at a time."""
    await put(inbox, *(f"bad {number}" for number in range(200)))
    for _ in range(20):
        for entry in await inbox.take(10):
            inbox.again(entry, 0.0)
    await asyncio.sleep(0.3)
    await put(inbox, "good")
    async with asyncio.timeout(10):
        taken = await inbox.take(10)
        while not any(entry.event.id == "good" for entry in taken):
            for entry in taken:
                inbox.again(entry, 0.0)
            taken = await inbox.take(10)
    assert len(taken) <= 6


async def test_an_inbox_whose_file_goes_fails_and_gives_all_out_when_it_is_opened_again(
    inbox: Inbox,
) -> None:
    """In the order of arrival; what was done with is not given out again."""
    await put(inbox, *range(30), key="one key")
    done = (await inbox.take(10))[0]
    await inbox.remove(done)
    for one in inbox.file.parent.glob("inbox.db*"):
        one.unlink()
    with pytest.raises(TransientError, match="removed while it was open"):
        await put(inbox, "too late")
    with pytest.raises(TransientError, match="removed while it was open"):
        await inbox.watch()
    await inbox.close()
    await inbox.open()
    entries = await inbox.take(100)
    found = [entry.event.id for entry in entries]
    assert found[:29] == [str(one) for one in range(1, 30)]
    assert inbox.events == len(found)


async def test_a_file_with_a_broken_page_is_an_error_and_no_silence(tmp_path: Path) -> None:
    """Every reader is told; nobody waits for ever."""
    inbox = make(tmp_path)
    await inbox.open()
    for number in range(300):
        await inbox.put(
            Event(id=str(number), source="s", type="t", data="x" * 500), str(number), "k"
        )
    await inbox.close()
    size = inbox.file.stat().st_size
    with inbox.file.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 4096 * 4)
    with pytest.raises((TransientError, sqlite3.Error), match="malformed"):
        await asyncio.wait_for(_read_all(inbox), 20)
    await inbox.close()


async def _read_all(inbox: Inbox) -> None:
    await inbox.open()
    await inbox.take(1000)
