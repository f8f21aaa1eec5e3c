"""List mode against Azurite: overlap, deduplication, what is remembered and what comes again."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from temporal_runner.plugin import Accepted, PermanentError, PullSource, TransientError
from temporal_runner_azure.messages import read_event
from tests.azure.azurite import Azurite
from tests.azure.support import Open, Storage, receive, receive_none

STARTED = Accepted(action="start", workflow_id="w")


async def names(source: PullSource, count: int) -> list[str | None]:
    """Receive and acknowledge so many, and return the blobs' names."""
    deliveries = await receive(source, count)
    for delivery in deliveries:
        await delivery.ack(STARTED)
    return [delivery.event.subject for delivery in deliveries]


def remembered(state: Path) -> set[str]:
    """The names in a state file."""
    with contextlib.closing(sqlite3.connect(state)) as file:
        return {name for (name,) in file.execute("select key from delivered")}


async def test_each_blob_comes_once_however_often_it_is_listed(storage: Storage) -> None:
    """Listings overlap wholly; what is done is not handed over again, what is new is."""
    storage.put("a.txt")
    async with Open(storage.list_options()) as source:
        assert await names(source, 1) == ["a.txt"]
        await receive_none(source)
        storage.put("b.txt")
        assert await names(source, 1) == ["b.txt"]
        await receive_none(source)


async def test_a_blob_under_way_is_not_handed_over_twice(storage: Storage) -> None:
    """It is listed again while its delivery is not settled."""
    storage.put("a.txt")
    async with Open(storage.list_options()) as source:
        [delivery] = await receive(source)
        await receive_none(source)
        await delivery.ack(STARTED)
        await receive_none(source)


async def test_a_blob_that_is_written_again_comes_again(storage: Storage) -> None:
    """It is remembered by name and etag, not by name or time."""
    storage.put("a.txt", b"first")
    async with Open(storage.list_options()) as source:
        [first] = await receive(source)
        await first.ack(STARTED)
        storage.put("a.txt", b"second")
        [second] = await receive(source)
        await second.ack(STARTED)
        await receive_none(source)
    assert first.event.id != second.event.id


async def test_a_listed_blob_is_the_event_that_event_grid_would_tell(storage: Storage) -> None:
    """id, source, type and subject are queue mode's: changing the mode starts nothing anew."""
    told = read_event(storage.put("in/a b+ü%.txt", b"12345"))
    async with Open(storage.list_options()) as source:
        [delivery] = await receive(source)
        event = delivery.event
        await delivery.ack(STARTED)
    assert (event.id, event.source, event.type, event.subject) == (
        told.id,
        told.source,
        told.type,
        told.subject,
    )
    for name in ("url", "contentLength", "blobType", "account", "container", "blob"):
        assert event.data[name] == told.data[name], name
    assert event.data["api"] == "ListBlobs"
    assert event.time is not None
    assert datetime.now(UTC) - event.time < timedelta(minutes=1)


async def test_only_the_prefix_is_listed_and_folders_are_no_files(storage: Storage) -> None:
    """Data Lake's folders and the markers of other tools are left out; an empty file is not."""
    storage.put("in/a.txt")
    storage.put("in/empty.txt", b"")
    storage.put("in/marker/", b"")
    storage.put("elsewhere.txt")
    storage.container.upload_blob("in/folder", b"", metadata={"hdi_isfolder": "true"}).close()
    async with Open(storage.list_options(prefix="in/")) as source:
        assert await names(source, 2) == ["in/a.txt", "in/empty.txt"]
        await receive_none(source)


async def test_a_long_listing_is_handed_over_as_there_is_room(storage: Storage) -> None:
    """No more at a time than max_in_flight; every blob comes, once."""
    for number in range(7):
        storage.put(f"{number}.txt")
    async with Open(storage.list_options(), max_in_flight=3) as source:
        seen: list[str | None] = []
        while len(seen) < 7:
            deliveries = await source.receive()
            assert len(deliveries) <= 3
            for delivery in deliveries:
                seen.append(delivery.event.subject)
                await delivery.ack(STARTED)
        assert seen == [f"{number}.txt" for number in range(7)]
        await receive_none(source)


async def test_a_cancelled_listing_loses_nothing(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had found on the pages before comes with the next listing, once."""
    monkeypatch.setattr("temporal_runner_azure.client.PAGE", 2)
    for number in range(20):
        storage.put(f"{number}.txt")
    came: list[str | None] = []
    async with Open(storage.list_options()) as source:
        for step in range(10):
            receiving = asyncio.ensure_future(source.receive())
            await asyncio.sleep(0.005 * step)
            receiving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                for delivery in await receiving:
                    came.append(delivery.event.subject)
                    await delivery.ack(STARTED)
        while len(came) < 20:
            came += await names(source, 1)
        await receive_none(source)
    assert sorted(map(str, came)) == sorted(f"{number}.txt" for number in range(20))


async def test_a_nacked_blob_comes_again_when_asked(storage: Storage) -> None:
    """After retry_after, not at the next listing and not before; by default at the next listing."""
    storage.put("a.txt")
    async with Open(storage.list_options(poll_interval="30s")) as source:
        [delivery] = await receive(source)
        waiting = asyncio.create_task(receive(source))
        await asyncio.sleep(0.05)  # it waits for the next listing by now
        began = time.monotonic()
        await delivery.nack("not now", retry_after=0.5)
        [again] = await waiting
        assert 0.4 < time.monotonic() - began < 5
        assert again.event.id == delivery.event.id
        await again.ack(STARTED)
    storage.put("b.txt")
    async with Open(storage.list_options()) as source:
        [delivery] = await receive(source)
        await delivery.nack("not now")
        [again] = await receive(source)
        assert again.event.id == delivery.event.id


async def test_a_new_connection_forgets_nothing(storage: Storage) -> None:
    """What is done stays done when the connection is made anew; what was under way comes again."""
    storage.put("a.txt")
    storage.put("b.txt")
    async with Open(storage.list_options()) as source:
        first, _ = await receive(source, 2)
        await first.ack(STARTED)
    async with Open(storage.list_options()) as source:
        assert await names(source, 1) == ["b.txt"]
        await receive_none(source)


async def test_with_a_state_file_what_is_done_stays_done(storage: Storage, tmp_path: Path) -> None:
    """Across restarts; what was under way or nacked comes again, and so does a new version."""
    options = storage.list_options(state_file=str(tmp_path / "uploads.db"))
    for name in ("done.txt", "nacked.txt", "rejected.txt", "under way.txt"):
        storage.put(name)
    async with Open(options) as source:
        done, nacked, rejected, _ = await receive(source, 4)
        await done.ack(STARTED)
        await nacked.nack("not now", retry_after=60)
        await rejected.reject("never")
    async with Open(options) as source:
        assert await names(source, 2) == ["nacked.txt", "under way.txt"]
        await receive_none(source)
        storage.put("done.txt", b"another version")
        assert await names(source, 1) == ["done.txt"]


@pytest.mark.parametrize("there", [["old.txt"], []])
async def test_blobs_of_before_the_first_start_can_be_skipped(
    storage: Storage, tmp_path: Path, there: list[str]
) -> None:
    """existing: skip. What comes later is an event, also while the runner is away."""
    options = storage.list_options(state_file=str(tmp_path / "uploads.db"), existing="skip")
    for name in there:
        storage.put(name)
    for _ in range(2):  # the second start is not the first
        async with Open(options) as source:
            await receive_none(source)
    storage.put("while away.txt")
    async with Open(options) as source:
        assert await names(source, 1) == ["while away.txt"]
        for name in there:
            storage.put(name, b"written again")
        assert await names(source, len(there)) == there
        await receive_none(source)


async def test_what_is_under_way_settles_after_the_source_is_closed(
    storage: Storage, tmp_path: Path
) -> None:
    """A failed listing makes the runner open another source: what the first had still counts."""
    options = storage.list_options(
        state_file=str(tmp_path / "uploads.db"), dead_letter_queue=f"{storage.queue_name}-poison"
    )
    storage.put("done.txt")
    storage.put("rejected.txt")
    async with Open(options, max_in_flight=2) as source:
        done, rejected = await receive(source, 2)
    await done.ack(STARTED)
    await rejected.reject("never")
    assert [letter["reason"] for letter in storage.poisoned()] == ["never"]
    async with Open(options) as source:
        await receive_none(source)


async def test_a_deleted_blob_is_forgotten(storage: Storage, tmp_path: Path) -> None:
    """The memory is no larger than the container, in the file too."""
    options = storage.list_options(state_file=str(tmp_path / "uploads.db"))
    storage.put("a.txt")
    storage.put("b.txt")
    async with Open(options) as source:
        await names(source, 2)
        storage.container.delete_blob("a.txt")
        await receive_none(source)
    assert remembered(tmp_path / "uploads.db") == {"b.txt"}


async def test_blobs_of_another_age_are_left_alone(storage: Storage) -> None:
    """Older than max_age: never; younger than min_age: once they are old enough."""
    storage.put("a.txt")
    async with Open(storage.list_options(max_age="1ms")) as source:
        await receive_none(source)
    async with Open(storage.list_options(min_age="1h")) as source:
        await receive_none(source)
    async with Open(storage.list_options(min_age="1s", max_age="1h")) as source:
        assert await names(source, 1) == ["a.txt"]


async def test_a_rejected_blob_goes_to_the_poison_queue_where_there_is_one(
    storage: Storage,
) -> None:
    """With the reason and the event; it is not listed again."""
    storage.put("a.txt")
    options = storage.list_options(dead_letter_queue=f"{storage.queue_name}-poison")
    async with Open(options) as source:
        [delivery] = await receive(source)
        await delivery.reject("no workflow takes this")
        await receive_none(source)
    [letter] = storage.poisoned()
    assert letter["reason"] == "no workflow takes this"
    assert letter["body"]["subject"] == "a.txt"


async def test_a_missing_container_is_not_there_yet(storage: Storage) -> None:
    """The runner waits for it."""
    with pytest.raises(TransientError, match=r"container.*Create it"):
        async with Open(storage.list_options(container="missing-container")):
            pass


async def test_a_state_file_that_cannot_be_used_is_a_permanent_error(
    storage: Storage, tmp_path: Path
) -> None:
    """A folder that is not there, or a file of something else: with a next step."""
    other = tmp_path / "notes.txt"
    other.write_text("this is no database\n" * 100)
    for path in (tmp_path / "missing" / "uploads.db", other):
        with pytest.raises(PermanentError, match="next step: give the path of a file"):
            async with Open(storage.list_options(state_file=str(path))):
                pass


async def test_a_listing_that_fails_is_transient(own_azurite: Azurite, tmp_path: Path) -> None:
    """And what was listed half is not taken for a whole listing: nothing is forgotten."""
    own_azurite.start()
    storage = Storage(own_azurite)
    storage.put("a.txt")
    async with Open(storage.list_options(state_file=str(tmp_path / "uploads.db"))) as source:
        await names(source, 1)
        own_azurite.stop()
        with pytest.raises(TransientError):
            await receive_none(source)
    assert remembered(tmp_path / "uploads.db") == {"a.txt"}
    storage.close()
