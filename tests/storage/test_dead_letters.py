"""The store of dead letters: what is rejected is kept, each event for itself, whatever fails."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from temporal_runner.errors import TransientError
from temporal_runner.events.event import Event
from temporal_runner.runtime.storage.dead_letters import DeadLetters
from tests.storage.test_inbox import BAD_ROWS, Shy


def of(data: Any = None, **more: Any) -> Event:
    return Event(**{"id": "one ID", "source": "s", "type": "t", "data": data, **more})


@pytest.fixture
async def letters(tmp_path: Path) -> AsyncIterator[DeadLetters]:
    letters = DeadLetters(tmp_path / "dead-letters.db", max_size=10**8)
    await letters.open()
    yield letters
    await letters.close()


async def keep(letters: DeadLetters, *events: Event, route: str | None = "") -> None:
    for event in events:
        await letters.keep("shop", event, "one key", "a reason", route)


OTHERS = [
    of({"n": 2}),
    of(None),
    of("1"),
    of(1.0),
    of({"n": 1}, type="another"),
    of({"n": 1}, subject="s"),
    of({"n": 1}, datacontenttype="text/json"),
    of({"n": 1}, extensions={"partition": "p"}),
]


@pytest.mark.parametrize("other", OTHERS)
async def test_events_with_one_id_that_say_different_things_are_different_letters(
    letters: DeadLetters, other: Event
) -> None:
    """Neither overwrites the other; each counts for itself."""
    first = of({"n": 1})
    await keep(letters, first, other, first)
    assert [(one.event, one.times) for one in await letters.find()] == [(first, 2), (other, 1)]


async def test_the_same_event_sent_again_is_the_same_letter(letters: DeadLetters) -> None:
    """What differs from one delivery to the next makes no other event of it."""
    for minute in range(3):
        again = of(
            {"b": 1, "a": [2]},
            time=datetime(2024, 1, 1, 12, minute, tzinfo=UTC),
            extensions={"traceparent": str(minute), "headers": {"x-try": str(minute)}},
        )
        await keep(letters, again)
    await keep(letters, of({"a": [2], "b": 1}))
    [letter] = await letters.find()
    assert letter.times == 4


async def test_what_two_routes_rejected_is_two_letters(letters: DeadLetters) -> None:
    """And a replay, which knows of no route, changes the letter that it replays."""
    await keep(letters, of(1), route="signal paid")
    await keep(letters, of(1), route="signal audited")
    await keep(letters, of(1), route="signal paid")
    assert [one.times for one in await letters.find()] == [2, 1]
    await keep(letters, of(1), route=None)
    assert sum(one.times for one in await letters.find()) == 4


# Files of version 1. ------------------------------------------------------------------------------

VERSION_1 = """
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, listener TEXT NOT NULL, event_key TEXT NOT NULL,
    event TEXT NOT NULL, reason TEXT NOT NULL, rejected REAL NOT NULL, times INTEGER NOT NULL,
    UNIQUE (listener, event_key))
"""


def version_1(file: Path, *events: Any) -> None:
    with sqlite3.connect(file) as old:
        old.execute(VERSION_1)
        old.execute("PRAGMA user_version = 1")
        for number, event in enumerate(events):
            row = ("shop", f"key {number}", event, "why", 1.5, 3)
            old.execute(
                "INSERT INTO dead_letters (listener, event_key, event, reason, rejected, times)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )
        old.execute("DELETE FROM dead_letters WHERE event_key = 'key 0'")
    old.close()


async def test_a_file_of_version_1_loses_nothing(tmp_path: Path) -> None:
    """Numbers, counts and reasons stay; what was rejected before is known again."""
    file = tmp_path / "dead-letters.db"
    event = of({"n": 1}, subject="é \ud800", time=datetime(2024, 1, 1, tzinfo=UTC))
    version_1(file, "gone", *(json.dumps(event.to_dict()) for _ in range(5)), "no JSON", b"\xff")
    for _ in range(2):
        letters = DeadLetters(file, max_size=10**8)
        await letters.open()
        found = await letters.find()
        assert [one.id for one in found] == [2, 3, 4, 5, 6, 7, 8]
        assert {(one.listener, one.times) for one in found} == {("shop", 3)}
        assert [one.event for one in found[:5]] == [event] * 5
        assert [one.event.data for one in found[5:]] == ["no JSON", "\\xff"]
        await letters.close()
    await letters.open()
    await letters.keep("shop", event, "key 3", "again", "signal paid")
    await letters.keep("shop", of({"n": 2}), "key 3", "another", "signal paid")
    found = await letters.find()
    assert [(one.id, one.times) for one in found] == [
        *[(2, 3), (3, 3), (4, 4), (5, 3), (6, 3), (7, 3), (8, 3)],
        (9, 1),
    ]
    await letters.close()


async def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """It is one transaction."""
    file = tmp_path / "dead-letters.db"
    version_1(file, "gone", json.dumps(of(1).to_dict()))
    with sqlite3.connect(file) as old:
        old.execute("CREATE TABLE version_1 (in_the_way TEXT)")
    old.close()
    letters = DeadLetters(file, max_size=10**8)
    with pytest.raises(Exception, match="version_1"):
        await letters.open()
    with sqlite3.connect(file) as old:
        assert old.execute("SELECT count(*) FROM dead_letters").fetchone() == (1,)
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        old.execute("DROP TABLE version_1")
    old.close()
    await letters.open()
    assert len(await letters.find()) == 1
    await letters.close()


# Rows and files that fail. ------------------------------------------------------------------------


@pytest.mark.parametrize("row", BAD_ROWS)
async def test_a_letter_that_cannot_be_read_hides_no_other(letters: DeadLetters, row: Any) -> None:
    """What is left of it is shown, with the reason, and can be dropped."""
    await keep(letters, of(1), of(2), of(3))
    await letters._database.run(
        lambda connection: connection.execute(
            "UPDATE dead_letters SET event = ? WHERE id = 2", (row,)
        )
    )
    found = await letters.find()
    assert [one.id for one in found] == [1, 2, 3]
    assert "a reason\nrow 2 cannot be read any more: " in found[1].reason
    json.dumps(found[1].to_dict())
    await letters.drop(found[1])
    assert [one.id for one in await letters.find()] == [1, 3]


@pytest.mark.parametrize("value", [b"\xff", "soon", 1e300, -1e300, 5])
@pytest.mark.parametrize("column", ["reason", "rejected", "listener", "times"])
async def test_other_columns_hold_anything_too(
    letters: DeadLetters, column: str, value: Any
) -> None:
    """All of the letters are listed."""
    await keep(letters, of(1), of(2))
    await letters._database.run(
        lambda connection: connection.execute(
            f"UPDATE dead_letters SET {column} = ? WHERE id = 1",
            (value,),
        )
    )
    assert len([json.dumps(one.to_dict()) for one in await letters.find()]) == 2


@pytest.mark.parametrize("data", [Shy(), {(1, 2): 3}, [[]]], ids=["shy", "keys", "circular"])
async def test_an_event_without_a_form_in_json_is_kept_all_the_same(
    letters: DeadLetters, data: Any
) -> None:
    """As Python shows it: there is no other place for it."""
    if data == [[]]:
        data[0].append(data)
    await keep(letters, of(data, subject="kept"))
    [letter] = await letters.find()
    assert letter.event.id == "one ID"
    assert letter.event.subject == "kept"


async def test_a_store_that_is_removed_is_opened_again_with_all_that_was_in_it(
    letters: DeadLetters,
) -> None:
    """What comes meanwhile is not rejected but asked for again."""
    await keep(letters, of(1), of(2))
    for one in letters.file.parent.glob("dead-letters.db*"):
        one.unlink()
    with pytest.raises(TransientError, match="removed while it was open"):
        await keep(letters, of(3))
    await letters._database.close()
    await keep(letters, of(4))
    assert [one.event.data for one in await letters.find()] == [1, 2, 3, 4]
