"""The queue source against Azurite: leases, settling, poison, polling."""

from __future__ import annotations

import asyncio
import time

import pytest

from temporal_runner.plugin import Accepted, PermanentError, TransientError
from temporal_runner_azure.client import Queue
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.queue import Pauses
from tests.azure.azurite import Azurite
from tests.azure.support import Open, Storage, in_base64, receive, receive_none, saved
from tests.support import wait_until

STARTED = Accepted(action="start", workflow_id="w")


async def test_an_acknowledged_message_is_deleted(storage: Storage) -> None:
    """One blob event comes, with the blob's name and version, and never again."""
    event = storage.put("a b.txt", b"12345")
    storage.send(event)
    async with Open(storage.queue_options()) as source:
        [delivery] = await receive(source)
        assert delivery.event.subject == "a b.txt"
        assert delivery.event.data["contentLength"] == 5
        assert storage.count() == 1, "deleted before it was acknowledged"
        await delivery.ack(STARTED)
        assert storage.count() == 0


async def test_a_nacked_message_is_not_deleted_and_comes_again_when_asked(storage: Storage) -> None:
    """retry_after 0 is now; retry_after 2 is not now."""
    storage.send(storage.put("a.txt"))
    async with Open(storage.queue_options()) as source:
        [delivery] = await receive(source)
        await delivery.nack("not now", retry_after=2)
        assert storage.count() == 1
        assert storage.visible() == 0
        began = time.monotonic()
        [delivery] = await receive(source)
        assert 1 < time.monotonic() - began < 6
        await delivery.nack("not now", retry_after=0)
        assert storage.visible() == 1
        [delivery] = await receive(source)
        await delivery.ack(STARTED)
    assert storage.count() == 0


async def test_a_rejected_event_is_kept_in_the_poison_queue_with_its_reason(
    storage: Storage,
) -> None:
    """The poison queue is made when it is missing; its messages never expire."""
    event = storage.put("a.txt")
    storage.send(event)
    async with Open(storage.queue_options()) as source:
        [delivery] = await receive(source)
        await delivery.reject("no workflow takes this")
    assert storage.count() == 0
    [letter] = storage.poisoned(never_expiring=True)
    assert letter["reason"] == "no workflow takes this"
    assert letter["body"] == event
    assert letter["deliveries"] == 1


@pytest.mark.parametrize(
    "text", ["no JSON at all", "[]", in_base64({"neither": "schema"}), "e30", "<&>\u00e9 \t"]
)
async def test_what_cannot_be_read_goes_to_poison_at_once(storage: Storage, text: str) -> None:
    """Not round for ever: the first delivery is the last."""
    storage.send_text(text)
    storage.send(storage.put("good.txt"))
    async with Open(storage.queue_options()) as source:
        [delivery] = await receive(source)
        await delivery.ack(STARTED)
        await receive_none(source)
    assert storage.count() == 0
    [letter] = storage.poisoned()
    assert letter["reason"]
    assert letter["body"] in (text, {"neither": "schema"})


async def test_a_message_that_fills_its_64_kib_still_gets_into_the_poison_queue(
    storage: Storage,
) -> None:
    """Reason and body are two messages then, and the one names the other."""
    text = "x" * (64 * 1024)
    storage.send_text(text)
    async with Open(storage.queue_options()) as source:
        await receive_none(source)
    assert storage.count() == 0
    body, letter = storage.poisoned_texts()
    assert body[1] == text
    assert f'"body_message": "{body[0]}"' in letter[1]


async def test_a_message_delivered_too_often_goes_to_poison(storage: Storage) -> None:
    """Over max_receives it is not even looked at: it may be what ends the runner."""
    storage.send(storage.put("a.txt"))
    async with Open(storage.queue_options(max_receives=2)) as source:
        for _ in range(2):
            [delivery] = await receive(source)
            await delivery.nack("again", retry_after=0)
        await receive_none(source)
    assert storage.count() == 0
    [letter] = storage.poisoned()
    assert letter["reason"] == "it was delivered 3 times"
    assert letter["deliveries"] == 3


async def test_a_message_held_for_3_visibility_timeouts_is_delivered_once(
    storage: Storage,
) -> None:
    """While it is held nobody else gets it; then it is deleted with the last pop receipt."""
    storage.send(storage.put("slow.txt"))
    options = storage.queue_options(visibility_timeout="1s")
    async with Open(options) as source, Open(options) as other:
        [delivery] = await receive(source)
        began = time.monotonic()
        while time.monotonic() - began < 3.2:
            assert not await other.receive(), "delivered twice"
        await delivery.ack(STARTED)
        assert storage.count() == 0


async def test_without_its_heartbeat_a_message_comes_again(storage: Storage) -> None:
    """What a killed runner held is delivered after the visibility time-out."""
    storage.send(storage.put("a.txt"))
    options = storage.queue_options(visibility_timeout="1s")
    killed = Queue(options, storage.queue_name)
    await killed.open()
    assert len(await killed.receive(1, 1.0)) == 1
    await killed.close()
    async with Open(options) as other:
        [delivery] = await receive(other)
        await delivery.ack(STARTED)


async def test_heartbeats_and_deletes_never_use_each_others_receipt(storage: Storage) -> None:
    """Messages settled in the midst of their heartbeats: each is deleted, none is lost or left."""
    events = [storage.put(f"{number}.txt") for number in range(12)]
    for event in events:
        storage.send(event)
    options = storage.queue_options(visibility_timeout="1s")
    async with Open(options) as source:
        deliveries = await receive(source, len(events))

        async def settle(number: int) -> None:
            # Spread over the time at which the heartbeats come.
            await asyncio.sleep(0.45 + number * 0.01)
            await deliveries[number].ack(STARTED)

        await asyncio.gather(*(settle(number) for number in range(len(events))))
        assert storage.count() == 0


async def test_a_message_that_is_gone_counts_as_deleted(storage: Storage) -> None:
    """Somebody cleared the queue: a 404 of the delete is success."""
    storage.send(storage.put("a.txt"))
    async with Open(storage.queue_options()) as source:
        [delivery] = await receive(source)
        storage.queue.clear_messages()
        await delivery.ack(STARTED)


async def test_several_events_of_a_message_are_settled_together(storage: Storage) -> None:
    """The message is deleted with the last; those that are done do not come again."""
    events = [storage.put(f"{number}.txt") for number in range(3)]
    storage.send(*events)
    async with Open(storage.queue_options()) as source:
        first, second, third = await receive(source, 3)
        await first.ack(STARTED)
        await second.nack("not now", retry_after=0)
        assert storage.visible() == 0, "given back while the third was under way"
        await third.reject("never")
        assert storage.count() == 1
        [again] = await receive(source)
        assert again.event.id == second.event.id
        await again.ack(STARTED)
    assert storage.count() == 0
    assert [letter["body"] for letter in storage.poisoned()] == [events[2]]


async def test_a_bad_event_does_not_hold_up_the_good_ones_of_its_message(storage: Storage) -> None:
    """It goes to poison by itself."""
    storage.send(storage.put("a.txt"), {"no": "event"}, storage.put("b.txt"))
    async with Open(storage.queue_options()) as source:
        for delivery in await receive(source, 2):
            await delivery.ack(STARTED)
    assert storage.count() == 0
    assert [letter["body"] for letter in storage.poisoned()] == [{"no": "event"}]


@pytest.mark.parametrize("wanted", [False, True])
async def test_data_lakes_empty_file_is_not_an_upload(storage: Storage, wanted: bool) -> None:
    """CreateFile is dropped unless it is asked for; FlushWithClose comes."""
    storage.send(*saved("data_lake_upload"))
    options = storage.queue_options(include_created_files=wanted)
    async with Open(options) as source:
        deliveries = await receive(source, 2 if wanted else 1)
        for delivery in deliveries:
            await delivery.ack(STARTED)
    apis = [delivery.event.data["api"] for delivery in deliveries]
    assert apis == (["CreateFile", "FlushWithClose"] if wanted else ["FlushWithClose"])
    assert storage.count() == 0


async def test_a_receive_takes_no_more_than_azure_and_the_listener_allow(storage: Storage) -> None:
    """32 at most, and no more than there is room for."""
    for number in range(40):
        storage.send({**saved("custom_topic"), "id": str(number)})
    async with Open(storage.queue_options()) as source:
        assert len(await source.receive()) == 32
    async with Open(storage.queue_options(), max_in_flight=5) as source:
        assert len(await source.receive()) == 5


async def test_a_queue_that_gives_all_is_asked_at_several_places(storage: Storage) -> None:
    """Full answers are followed by more receives at the same time, another by one again."""
    for number in range(140):
        storage.send({**saved("custom_topic"), "id": str(number)})
    async with Open(storage.queue_options(), max_in_flight=300) as source:
        assert [len(await source.receive()) for _ in range(3)] == [32, 64, 44]
        for number in range(40):
            storage.send({**saved("custom_topic"), "id": f"more-{number}"})
        assert len(await source.receive()) == 32


async def test_receives_are_not_for_single_messages_while_much_is_in_hand(storage: Storage) -> None:
    """It waits until half of the places are free instead of filling them one by one."""
    for number in range(60):
        storage.send({**saved("custom_topic"), "id": str(number)})
    async with Open(storage.queue_options(), max_in_flight=40) as source:
        deliveries = await source.receive()
        receiving = asyncio.create_task(source.receive())
        for delivery in deliveries[:12]:
            assert not receiving.done()
            await delivery.ack(Accepted())
        assert len(await receiving) == 20


async def test_a_cancelled_receive_gives_its_messages_back_at_once(storage: Storage) -> None:
    """A runner that stops while it polls leaves no message invisible behind."""
    for number in range(8):
        storage.send({**saved("custom_topic"), "id": str(number)})
    for delay in (0.0, 0.002, 0.005, 0.01, 0.02):
        async with Open(storage.queue_options(visibility_timeout="10m")) as source:
            receiving = asyncio.create_task(source.receive())
            await asyncio.sleep(delay)
            receiving.cancel()
            done, _ = await asyncio.wait({receiving})
            if not receiving.cancelled():  # it was quicker
                for delivery in done.pop().result():
                    await delivery.nack("stopping", retry_after=0)
        assert storage.visible() == 8, f"after {delay:g}s"


@pytest.mark.parametrize("how", ["ack", "nack", "reject"])
async def test_what_is_under_way_settles_after_the_source_is_closed(
    storage: Storage, how: str
) -> None:
    """A failed poll makes the runner open another source; deliveries of the first still settle."""
    storage.send(storage.put("a.txt"))
    async with Open(storage.queue_options(visibility_timeout="10m")) as source:
        [delivery] = await receive(source)
    if how == "ack":
        await delivery.ack(STARTED)
    elif how == "nack":
        await delivery.nack("not now", retry_after=0)
    else:
        await delivery.reject("never")
    assert storage.count() == storage.visible() == (1 if how == "nack" else 0)
    assert len(storage.poisoned()) == (1 if how == "reject" else 0)


async def test_a_closed_source_lets_its_messages_come_again(storage: Storage) -> None:
    """Nobody extends their time any more: no task of it is left."""
    storage.send(storage.put("a.txt"))
    options = storage.queue_options(visibility_timeout="1s")
    before = asyncio.all_tasks()
    async with Open(options) as source:
        [delivery] = await receive(source)
    assert {task for task in asyncio.all_tasks() - before if not task.cancelling()} == set()
    async with Open(options) as other:
        [again] = await receive(other)
        assert again.event.id == delivery.event.id
        await delivery.ack(STARTED)  # with a receipt that is not the last
        assert storage.count() == 1
        await again.ack(STARTED)
    assert storage.count() == 0


async def test_a_poison_queue_that_fails_leaves_the_message_in_the_queue(storage: Storage) -> None:
    """A signature that does not open the poison queue: what could not be kept comes again."""
    storage.send_text("no JSON")
    storage.send(storage.put("a.txt"))
    options = storage.queue_options(connection_string=storage.sas_of_queue())
    async with Open(options) as source:
        [delivery] = await receive(source)
        with pytest.raises(TransientError):
            await delivery.reject("never")
        assert storage.count() == 2
        [delivery] = await receive(source)
        await delivery.ack(STARTED)
    assert storage.count() == 1


async def test_a_missing_queue_is_not_there_yet(storage: Storage) -> None:
    """The runner waits for it: somebody may be about to make it."""
    with pytest.raises(TransientError, match=r"queue.*Create it"):
        async with Open(storage.queue_options(queue="missing-queue")):
            pass


async def test_a_lost_service_is_transient_and_found_again(own_azurite: Azurite) -> None:
    """Down at connect, up, down while it polls: TransientError each time, within seconds."""
    down = {
        "mode": "queue",
        "connection_string": own_azurite.connection_string(),
        "queue": "events",
    }
    with pytest.raises(TransientError):
        async with Open(AzureOptions.model_validate(down)):
            pass
    own_azurite.start()
    storage = Storage(own_azurite)
    async with Open(storage.queue_options()) as source:
        await receive_none(source)
        own_azurite.stop()
        began = time.monotonic()
        with pytest.raises(TransientError):
            await receive_none(source)
        assert time.monotonic() - began < 5
    storage.close()


async def test_a_signature_that_expires_on_the_way_is_transient(storage: Storage) -> None:
    """It was right once, so it may be renewed: the runner waits, and stays."""
    options = storage.queue_options(connection_string=storage.sas_of_queue(seconds=2))
    async with Open(options) as source:
        with pytest.raises(TransientError, match=r"[Aa]uth"):
            await receive_none(source, polls=1000)
    with pytest.raises(TransientError, match=r"[Aa]uth"):
        async with Open(options):
            pass
    expired = storage.sas_of_queue(seconds=-60)
    with pytest.raises(PermanentError, match="next step"):
        async with Open(storage.queue_options(connection_string=expired)):
            pass


def test_pauses_grow_while_the_queue_is_empty_and_end_with_a_message() -> None:
    """From poll_min by doubling to poll_max, each a little shorter at random; none at first."""
    pauses = Pauses(0.1, 1.0)
    seen = [pauses.next]
    for _ in range(6):
        pauses.saw(0)
        seen.append(pauses.next)
    assert seen[0] == 0
    for pause, most in zip(seen[1:], (0.1, 0.2, 0.4, 0.8, 1.0, 1.0), strict=True):
        assert 0.8 * most <= pause <= most
    pauses.saw(1)
    assert pauses.next == 0


async def test_an_idle_queue_is_polled_less_and_less(storage: Storage) -> None:
    """With no long poll it costs few requests; a message after that is found within poll_max."""
    options = storage.queue_options(poll_min="50ms", poll_max="400ms")
    async with Open(options) as source:
        await receive_none(source, polls=1)
        began = time.monotonic()
        await receive_none(source, polls=5)
        assert time.monotonic() - began > 0.8 * (0.05 + 0.1 + 0.2 + 0.4 + 0.4)
        storage.send(storage.put("a.txt"))
        began = time.monotonic()
        [delivery] = await receive(source)
        assert time.monotonic() - began < 2
        await delivery.ack(STARTED)
    wait_until(lambda: storage.count() == 0)
