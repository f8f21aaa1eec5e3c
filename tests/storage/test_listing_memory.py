"""What a listing remembers: off the event loop, no more than there is, and older files too."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from temporal_runner.storage.listing_memory import ListingMemory

A1, A2, B1 = ("a", "1"), ("a", "2"), ("b", "1")


def written(file: Path, script: str) -> str:
    """A state file as an older version left it."""
    with closing(sqlite3.connect(file)) as database:
        database.executescript(script)
    return str(file)


async def test_what_was_added_is_not_new(tmp_path: Path) -> None:
    """By key and etag, in a file of the owner's and the prefix's own words."""
    file = str(tmp_path / "state.db")
    memory = await ListingMemory.open(file, "uploads", "bucket", "")
    assert await memory.new([A1, B1]) == [A1, B1]
    await memory.add([A1])
    await memory.close()
    memory = await ListingMemory.open(file, "uploads", "bucket", "")
    assert await memory.new([A1, A2, B1]) == [A2, B1]
    other = await ListingMemory.open(file, "uploads", "another bucket", "")
    assert await other.new([A1]) == [A1]
    await other.close()
    await memory.close()


async def test_a_version_that_is_listed_no_more_is_forgotten(tmp_path: Path) -> None:
    """The file is no larger than the listing, however often an object is written again."""
    file = tmp_path / "state.db"
    memory = await ListingMemory.open(str(file), "uploads", "bucket", "")
    for version in (A1, A2):
        assert await memory.new([version]) == [version]
        await memory.add([version])
        await memory.end_of_listing()
    await memory.close()
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT key, etag FROM delivered").fetchall() == [A2]


async def test_connections_of_a_listing_share_their_memory() -> None:
    """Without a file too: what one has added another finds, and a new one after both."""
    first = await ListingMemory.open(None, "shared", "bucket", "")
    second = await ListingMemory.open(None, "shared", "bucket", "")
    await first.close()
    await first.add([A1])
    await second.close()
    third = await ListingMemory.open(None, "shared", "bucket", "")
    assert await third.new([A1, B1]) == [B1]
    await third.close()


async def test_a_slow_disk_does_not_hold_the_event_loop_up(tmp_path: Path) -> None:
    """While another process writes the file an addition waits, and everything else goes on."""
    file = str(tmp_path / "state.db")
    memory = await ListingMemory.open(file, "uploads", "bucket", "")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        adding = asyncio.create_task(memory.add([A1]))
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert not adding.done()
        other.execute("COMMIT")
    await adding
    await memory.close()


async def test_a_memory_outlives_its_listeners_name(tmp_path: Path) -> None:
    """What was kept under `<listener> <container>` is the container's; others' is not."""
    file = str(tmp_path / "state.db")
    for listener, owner in (("old", "old url"), ("old", "old another-url")):
        memory = await ListingMemory.open(file, listener, owner, "")
        await memory.add([A1] if owner == "old url" else [B1])
        await memory.end_of_listing()
        await memory.add([A1] if owner == "old url" else [B1])
        await memory.close()
    memory = await ListingMemory.open(file, "new", "url", "")
    assert memory.listed_before
    assert await memory.new([A1, B1]) == [B1]
    await memory.close()


async def test_a_listing_of_another_prefix_knows_what_was_listed(tmp_path: Path) -> None:
    """A narrower one was listed; of a wider one that part was."""
    file = str(tmp_path / "state.db")
    memory = await ListingMemory.open(file, "uploads", "bucket", "in/")
    assert not memory.was_listed("in/a")
    await memory.end_of_listing()
    await memory.close()
    for prefix, before in (("in/", True), ("in/new/", True), ("", False), ("out/", False)):
        memory = await ListingMemory.open(file, "uploads", "bucket", prefix)
        assert memory.listed_before is before
        assert memory.was_listed("in/a")
        assert not memory.was_listed("out/a")
        await memory.close()


async def test_what_was_told_otherwise_formerly_is_not_new(tmp_path: Path) -> None:
    """Under its new name from then on, with its reason."""
    file = tmp_path / "state.db"
    memory = await ListingMemory.open(str(file), "uploads", "bucket", "")
    await memory.add([A1], "never")
    now = ("a", "1-time")
    for _ in range(2):
        assert await memory.new([now, B1], {now: A1, B1: ("b", "0")}) == [B1]
        await memory.end_of_listing()
    await memory.close()
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT key, etag, rejected FROM delivered").fetchall() == [
            (*now, "never")
        ]


async def test_older_files_of_buckets_are_read(tmp_path: Path) -> None:
    """With their tables as they are; and a prefix that was listed counts as listed."""
    file = written(
        tmp_path / "state.db",
        "CREATE TABLE delivered (bucket TEXT NOT NULL, key TEXT NOT NULL, etag TEXT NOT NULL,"
        " rejected TEXT, PRIMARY KEY (bucket, key, etag)) WITHOUT ROWID;"
        "CREATE TABLE listed (bucket TEXT NOT NULL, prefix TEXT NOT NULL,"
        " PRIMARY KEY (bucket, prefix)) WITHOUT ROWID;"
        "INSERT INTO delivered VALUES ('bucket', 'a', '1', NULL);"
        "INSERT INTO listed VALUES ('bucket', 'in/');",
    )
    memory = await ListingMemory.open(file, "uploads", "bucket", "in/")
    assert memory.listed_before
    assert await memory.new([A1, B1]) == [B1]
    await memory.close()


async def test_older_files_of_containers_are_taken_over(tmp_path: Path) -> None:
    """Their table is another: the rows move, with reasons, and no row is taken twice."""
    file = written(
        tmp_path / "state.db",
        "CREATE TABLE done (owner text, name text, etag text, rejected text,"
        " primary key (owner, name)) without rowid;"
        "INSERT INTO done VALUES ('uploads url', 'a', '1', 'never'), ('uploads url', '', '', NULL),"
        " ('others url', 'b', '1', NULL);",
    )
    for _ in range(2):
        memory = await ListingMemory.open(file, "uploads", "uploads url", "")
        assert memory.listed_before
        assert await memory.new([A1, B1]) == [B1]
        await memory.close()
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT * FROM delivered").fetchall() == [
            ("uploads url", "a", "1", "never")
        ]
        assert database.execute("SELECT owner FROM done").fetchall() == [("others url",)]
