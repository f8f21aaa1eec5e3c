"""mode: list against a real S3 server: every object once, whoever lists and however often."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from temporal_runner.plugin import Accepted, Delivery, PermanentError, PullSource, TransientError
from temporal_runner_s3 import client
from tests.s3.conftest import OpenSource
from tests.s3.support import Server, eventually, nothing, receive

ACK = Accepted(action="start")
OpenListing = Callable[..., Awaitable[PullSource]]


@pytest.fixture
def put(seaweed: Server, real_bucket: str) -> Callable[..., None]:
    """Put an object: `put("in/a.pdf", "content")`."""

    def write(key: str, content: str = "content") -> None:
        seaweed.client("s3").put_object(Bucket=real_bucket, Key=key, Body=content.encode())

    return write


@pytest.fixture
def listing(open_source: OpenSource, seaweed: Server, real_bucket: str) -> OpenListing:
    """Connect a source that lists the test's bucket."""

    async def connect(**options: Any) -> PullSource:
        given = {"bucket": real_bucket, "endpoint_url": seaweed.url, "poll_interval": "200ms"}
        return await open_source(mode="list", **{**given, **options})

    return connect


async def ack(deliveries: Sequence[Delivery]) -> list[str]:
    for delivery in deliveries:
        await delivery.ack(ACK)
    return sorted(str(delivery.event.subject) for delivery in deliveries)


async def test_objects_under_the_prefix_are_events(
    listing: OpenListing, put: Callable[..., None], real_bucket: str
) -> None:
    """What is there and what comes later is delivered once, with the object's facts."""
    put("in/a b+ü%20.txt", "hello")
    put("out/other.txt")
    source = await listing(prefix="in/")
    (delivery,) = await receive(source, 1)
    event = delivery.event
    assert event.subject == "in/a b+ü%20.txt"
    assert event.type == "ObjectCreated:Listed"
    assert event.source == f"s3://{real_bucket}"
    etag = "5d41402abc4b2a76b9719d911017c592"
    assert event.id.startswith(f"{real_bucket}/in/a b+ü%20.txt@{etag}-20")
    assert event.id.endswith("/ObjectCreated:Listed")
    assert event.data["object"] == {"key": "in/a b+ü%20.txt", "size": 5, "eTag": etag}
    assert event.time is not None
    assert event.time.tzinfo is not None
    await delivery.ack(ACK)
    put("in/later.txt")
    assert await ack(await receive(source, 1)) == ["in/later.txt"]
    await nothing(source, during=0.6)


async def test_every_page_is_listed(
    listing: OpenListing, put: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing of several pages is read to its end, no more at a time than there is room for."""
    monkeypatch.setattr(client, "PAGE", 3)
    keys = sorted(f"{folder}{number}" for folder in ("a/", "a-", "b/c/") for number in range(4))
    for key in keys:
        put(key)
    source = await listing(max_in_flight=2)
    batch = await source.receive()
    assert len(batch) == 2
    rest = await receive(source, 10)
    assert await ack([*batch, *rest]) == keys
    await nothing(source, during=0.6)


async def test_changed_object_is_another_event(
    listing: OpenListing, put: Callable[..., None]
) -> None:
    """The etag tells: new content under the same key is delivered, with an id of its own."""
    put("k", "one")
    source = await listing()
    (first,) = await receive(source, 1)
    await first.ack(ACK)
    put("k", "two")
    (second,) = await receive(source, 1)
    await second.ack(ACK)
    assert first.event.id != second.event.id
    assert first.ordering_key == second.ordering_key


async def test_the_same_bytes_written_again_are_another_event(
    listing: OpenListing, put: Callable[..., None], seaweed: Server, real_bucket: str
) -> None:
    """Deleted and written again between two listings, or written over: it happened again."""
    put("k", "one")
    source = await listing()
    (first,) = await receive(source, 1)
    await first.ack(ACK)
    await asyncio.sleep(1.1)  # the time's resolution in some stores
    seaweed.client("s3").delete_object(Bucket=real_bucket, Key="k")
    put("k", "one")
    (second,) = await receive(source, 1)
    await second.ack(ACK)
    assert first.event.id != second.event.id
    assert first.event.data["object"] == second.event.data["object"]


async def test_older_object_that_appears_late_is_delivered(
    listing: OpenListing, put: Callable[..., None]
) -> None:
    """Not a watermark: a key before all others that were delivered is found all the same."""
    put("z")
    source = await listing()
    assert await ack(await receive(source, 1)) == ["z"]
    put("a")
    assert await ack(await receive(source, 1)) == ["a"]


async def test_in_flight_object_is_not_delivered_again(
    listing: OpenListing, put: Callable[..., None]
) -> None:
    """While an object is being handled further listings do not deliver it."""
    put("k")
    source = await listing(poll_interval="50ms")
    (delivery,) = await receive(source, 1)
    await nothing(source, during=0.5)
    await delivery.ack(ACK)


async def test_nacked_object_is_found_again(listing: OpenListing, put: Callable[..., None]) -> None:
    """What could not be handled is delivered again by the next listing."""
    put("k")
    source = await listing()
    (delivery,) = await receive(source, 1)
    await delivery.nack("not now", retry_after=0)
    (again,) = await receive(source, 1)
    assert again.event.id == delivery.event.id
    await again.ack(ACK)


async def test_folder_markers_are_skipped(listing: OpenListing, put: Callable[..., None]) -> None:
    """An empty object whose key ends with a slash is no event."""
    put("folder/", "")
    put("folder/file")
    source = await listing()
    assert await ack(await receive(source, 1)) == ["folder/file"]
    await nothing(source, during=0.5)


async def test_state_file_remembers_across_restarts(
    listing: OpenListing, put: Callable[..., None], tmp_path: Path
) -> None:
    """What was acknowledged is not offered again after a restart; what was not, is."""
    state = str(tmp_path / "state.db")
    put("done")
    put("held")
    source = await listing(state_file=state)
    done, held = sorted(await receive(source, 2), key=lambda one: str(one.event.subject))
    await done.ack(ACK)
    await held.nack("the runner is stopping", retry_after=0)
    await source.close()
    source = await listing(state_file=state)
    assert await ack(await receive(source, 1)) == ["held"]
    await nothing(source, during=0.5)


async def test_rejected_object_is_kept_with_its_reason(
    listing: OpenListing, put: Callable[..., None], tmp_path: Path
) -> None:
    """The object stays where it is; the state file says why it is not tried again."""
    state = tmp_path / "state.db"
    put("bad")
    source = await listing(state_file=str(state))
    (delivery,) = await receive(source, 1)
    await delivery.reject("no workflow of that name")
    await nothing(source, during=0.5)
    with sqlite3.connect(state) as database:
        rows = database.execute("SELECT key, rejected FROM delivered").fetchall()
    database.close()
    assert rows == [("bad", "no workflow of that name")]


async def test_memory_forgets_deleted_objects(
    listing: OpenListing,
    put: Callable[..., None],
    seaweed: Server,
    real_bucket: str,
    tmp_path: Path,
) -> None:
    """The state file stays as small as the prefix; an object that comes back is new."""
    put("k")
    source = await listing(state_file=str(tmp_path / "state.db"))
    assert await ack(await receive(source, 1)) == ["k"]
    seaweed.client("s3").delete_object(Bucket=real_bucket, Key="k")
    await nothing(source, during=0.8)
    put("k")
    assert await ack(await receive(source, 1)) == ["k"]


async def test_existing_objects_are_skipped_at_the_first_listing_only(
    listing: OpenListing, put: Callable[..., None], tmp_path: Path
) -> None:
    """existing: skip is for what was there before the runner, not for what came in its absence."""
    state = str(tmp_path / "state.db")
    put("old")
    source = await listing(state_file=state, existing="skip")
    await nothing(source, during=0.5)
    await source.close()
    put("meanwhile")
    source = await listing(state_file=state, existing="skip")
    assert await ack(await receive(source, 1)) == ["meanwhile"]


async def test_old_objects_are_left_alone(
    listing: OpenListing, put: Callable[..., None], seaweed: Server, real_bucket: str
) -> None:
    """With max_age what was written before is no event, whether it is remembered or not."""
    put("old")
    head = seaweed.client("s3").head_object(Bucket=real_bucket, Key="old")
    until = head["LastModified"] + timedelta(seconds=2)
    await eventually(lambda: datetime.now(UTC) > until, what="the object to be old")
    source = await listing(max_age="2s")
    put("new")
    assert await ack(await receive(source, 1)) == ["new"]


async def test_without_a_file_a_new_connection_still_remembers(
    listing: OpenListing, put: Callable[..., None]
) -> None:
    """A connection that was lost costs nothing: until the runner stops what is done is known."""
    put("k")
    source = await listing()
    assert await ack(await receive(source, 1)) == ["k"]
    await source.close()
    source = await listing()
    await nothing(source, during=0.5)


async def test_settled_after_close_is_remembered(
    listing: OpenListing, put: Callable[..., None], tmp_path: Path
) -> None:
    """What a lost connection had delivered is remembered when it is settled later."""
    state = str(tmp_path / "state.db")
    put("k")
    source = await listing(state_file=state)
    (delivery,) = await receive(source, 1)
    await source.close()
    await delivery.ack(ACK)
    source = await listing(state_file=state)
    await nothing(source, during=0.5)


async def test_receive_that_is_cancelled_loses_nothing(
    listing: OpenListing, put: Callable[..., None]
) -> None:
    """Cancelled at any moment, receive() forgets no object that it has found."""
    for number in range(20):
        put(f"{number:02}")
    source = await listing(max_in_flight=3, poll_interval="100ms")
    found: list[Delivery] = []
    for milliseconds in range(25):
        receiving = asyncio.ensure_future(source.receive())
        await asyncio.sleep(milliseconds / 1000)
        receiving.cancel()
        try:
            found += await receiving
        except asyncio.CancelledError:
            continue
    found += await receive(source, 20 - len(found)) if len(found) < 20 else []
    assert await ack(found) == [f"{number:02}" for number in range(20)]


async def test_missing_bucket_is_waited_for(listing: OpenListing) -> None:
    """A bucket that is not there yet may come; the error names it."""
    with pytest.raises(TransientError, match="bucket-not-there"):
        await listing(bucket="bucket-not-there")


async def test_state_file_that_cannot_be_written_is_permanent(
    listing: OpenListing, tmp_path: Path
) -> None:
    """Waiting cannot help; the error says what to do."""
    with pytest.raises(PermanentError, match="a folder that exists"):
        await listing(state_file=str(tmp_path / "no" / "such" / "folder.db"))


async def test_object_settled_during_a_listing_is_not_delivered_again(
    listing: OpenListing, put: Callable[..., None]
) -> None:
    """However listings and acknowledgements fall together, an object is delivered once."""
    for number in range(40):
        put(f"{number:02}")
    source = await listing(poll_interval="1ms", max_in_flight=2)
    found: list[str] = []
    acks: set[asyncio.Task[None]] = set()

    async def settle(delivery: Delivery, after: float) -> None:
        await asyncio.sleep(after)
        await delivery.ack(ACK)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            while True:
                for delivery in await source.receive():
                    found.append(str(delivery.event.subject))
                    after = len(found) % 13 / 300
                    acks.add(asyncio.create_task(settle(delivery, after)))
    await asyncio.gather(*acks)
    assert sorted(found) == [f"{number:02}" for number in range(40)]
