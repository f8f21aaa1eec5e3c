"""mode: queue against a real SQS server: receive, settle, keep hidden, put back, keep the dead."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from temporal_runner.plugin import Accepted, PermanentError, TransientError
from temporal_runner_s3 import visibility
from tests.s3.conftest import MakeQueue, OpenSource
from tests.s3.support import (
    ACCOUNT,
    Gate,
    Server,
    Sqs,
    eventually,
    in_sns,
    nothing,
    notification,
    reason_of,
    receive,
    saved,
    several,
)
from tests.support import free_port

ACK = Accepted(action="start")


# Every way from a bucket to the queue, made by the server itself. ---------------------------------


def notify_queue(moto: Server, bucket: str, queue: Sqs) -> None:
    moto.client("s3").put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*"]}]
        },
    )


def notify_topic(moto: Server, bucket: str, queue: Sqs, *, raw: bool) -> None:
    moto.client("s3").put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "TopicConfigurations": [
                {
                    "TopicArn": subscribed_topic(moto, queue, raw=raw),
                    "Events": ["s3:ObjectCreated:*"],
                }
            ]
        },
    )


def subscribed_topic(moto: Server, queue: Sqs, *, raw: bool) -> str:
    sns = moto.client("sns")
    topic = str(sns.create_topic(Name=queue.name)["TopicArn"])
    attributes = {"RawMessageDelivery": "true"} if raw else {}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn, Attributes=attributes)
    return topic


def notify_event_bridge(moto: Server, bucket: str, queue: Sqs) -> None:
    moto.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    events = moto.client("events")
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bucket]}},
    }
    events.put_rule(Name=queue.name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=queue.name, Targets=[{"Id": "queue", "Arn": queue.arn}])


@pytest.mark.parametrize("way", ["straight", "sns", "sns-raw", "eventbridge"])
async def test_object_put_arrives_by_every_way(
    way: str, moto: Server, bucket: str, queue: Sqs, open_source: OpenSource
) -> None:
    """An object that is put into a bucket is delivered, straight, by SNS and by EventBridge."""
    match way:
        case "straight":
            notify_queue(moto, bucket, queue)
        case "sns" | "sns-raw":
            notify_topic(moto, bucket, queue, raw=way == "sns-raw")
        case "eventbridge":
            notify_event_bridge(moto, bucket, queue)
    source = await open_source(queue_url=queue.url)
    moto.client("s3").put_object(Bucket=bucket, Key="a b+ü.txt", Body=b"hello")
    (delivery,) = await receive(source, 1)
    assert delivery.event.subject == "a b+ü.txt"
    assert delivery.event.type.startswith("ObjectCreated")
    assert delivery.event.source == f"s3://{bucket}"
    await delivery.ack(ACK)
    assert queue.empty


async def test_event_bridge_through_sns_arrives(
    moto: Server, queue: Sqs, open_source: OpenSource
) -> None:
    """EventBridge to SNS to SQS: two envelopes' worth of the same event."""
    topic = subscribed_topic(moto, queue, raw=False)
    moto.client("sns").publish(TopicArn=topic, Message=saved("eventbridge-created"))
    source = await open_source(queue_url=queue.url)
    (delivery,) = await receive(source, 1)
    assert delivery.event.subject == "reports/2026/a b+c ü.pdf"
    await delivery.ack(ACK)


# Settling. ----------------------------------------------------------------------------------------


async def test_message_is_deleted_when_all_its_records_are_settled(
    queue: Sqs, open_source: OpenSource
) -> None:
    """N records are N deliveries; not before the last is settled does the message go."""
    queue.send(several(notification("b", "1", "1"), notification("b", "2", "2")))
    source = await open_source(queue_url=queue.url)
    first, second = await receive(source, 2)
    await first.ack(ACK)
    assert queue.counts() == (0, 1)
    await second.ack(ACK)
    assert queue.empty


async def test_redelivery_does_not_redo_finished_records(
    queue: Sqs, open_source: OpenSource
) -> None:
    """When one record of a message fails, the message comes again for that record alone."""
    queue.send(several(*(notification("b", key, "1") for key in "abc")))
    source = await open_source(queue_url=queue.url)
    first, second, third = await receive(source, 3)
    await first.ack(ACK)
    await second.nack("not now", retry_after=0)
    await third.ack(ACK)
    (again,) = await receive(source, 1)
    assert again.event.id == second.event.id
    await again.ack(ACK)
    assert queue.empty


async def test_message_delivered_again_while_in_hand_is_one_delivery(
    queue: Sqs, open_source: OpenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that becomes visible too early only renews its receipt, and is deleted with it."""
    monkeypatch.setattr(visibility, "_LONGEST", 0)  # nothing is extended: it becomes visible
    queue.send(notification("b", "k", "1"))
    source = await open_source(queue_url=queue.url, visibility_timeout="1s")
    (delivery,) = await receive(source, 1)
    await nothing(source, during=2.5)
    await delivery.ack(ACK)
    assert queue.empty


async def test_test_events_and_folder_markers_are_deleted(
    queue: Sqs, open_source: OpenSource
) -> None:
    """What is no event goes without a delivery, inside SNS too."""
    marker = notification("b", "folder/", "1").replace('"size": 1024', '"size": 0')
    queue.send_all([saved("test-event"), in_sns(saved("test-event")), marker])
    source = await open_source(queue_url=queue.url)
    receiving = asyncio.create_task(receive(source, 1))
    await eventually(lambda: queue.empty, what="the queue to be empty")
    receiving.cancel()


async def test_events_of_one_object_are_ordered(queue: Sqs, open_source: OpenSource) -> None:
    """Without message groups the object is the ordering key, and its sequencers are the order."""
    later, sooner = notification("b", "k", "B"), notification("b", "k", "A")
    queue.send(several(later, notification("b", "other", "1"), sooner))
    source = await open_source(queue_url=queue.url)
    deliveries = await receive(source, 3)
    sequencers = [one.event.data["object"]["sequencer"] for one in deliveries]
    assert sequencers == ["A", "1", "B"]
    assert [one.ordering_key for one in deliveries] == ["s3://b/k", "s3://b/other", "s3://b/k"]
    for delivery in deliveries:
        await delivery.ack(ACK)


# Time. --------------------------------------------------------------------------------------------


async def test_heartbeat_keeps_what_is_in_hand_hidden(queue: Sqs, open_source: OpenSource) -> None:
    """A handler of three visibility time-outs' length: the message is delivered once."""
    queue.send(notification("b", "k", "1"))
    holder = await open_source(queue_url=queue.url, visibility_timeout="1s")
    (delivery,) = await receive(holder, 1)
    other = await open_source(queue_url=queue.url, visibility_timeout="1s")
    await asyncio.gather(nothing(holder, during=3.2), nothing(other, during=3.2))
    await delivery.ack(ACK)
    assert queue.empty


async def test_heartbeat_stops_at_the_longest_time_sqs_allows(
    queue: Sqs, open_source: OpenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After SQS's 12 hours (here 2 seconds) a message is not extended and others may have it."""
    monkeypatch.setattr(visibility, "_LONGEST", 2)
    queue.send(notification("b", "k", "1"))
    holder = await open_source(queue_url=queue.url, visibility_timeout="1s")
    (held,) = await receive(holder, 1)
    started = time.monotonic()
    other = await open_source(queue_url=queue.url, visibility_timeout="5s")
    (delivery,) = await receive(other, 1)
    assert time.monotonic() - started > 1.5
    await delivery.ack(ACK)
    await held.ack(ACK)


async def test_visibility_is_the_queues_own_by_default(
    make_queue: MakeQueue, open_source: OpenSource
) -> None:
    """Without the option a message is hidden for as long as the queue is set to."""
    queue = make_queue(VisibilityTimeout="77")
    source = await open_source(queue_url=queue.url)
    assert source._visibility == 77  # type: ignore[attr-defined]


# What failed. -------------------------------------------------------------------------------------


async def test_nack_never_deletes(queue: Sqs, open_source: OpenSource) -> None:
    """What could not be handled comes again after the time that was asked for."""
    queue.send(notification("b", "k", "1"))
    source = await open_source(queue_url=queue.url)
    (delivery,) = await receive(source, 1)
    await delivery.nack("not now", retry_after=1)
    started = time.monotonic()
    (again,) = await receive(source, 1)
    assert time.monotonic() - started > 0.8
    assert again.event.id == delivery.event.id
    await again.ack(ACK)


async def test_rejected_event_is_a_dead_letter_with_its_reason(
    queue: Sqs, dead_letters: Sqs, open_source: OpenSource
) -> None:
    """What can never succeed is where a person finds it, alone, with why and from where."""
    queue.send(several(notification("b", "good", "1"), notification("b", "b+d", "2")))
    source = await open_source(queue_url=queue.url, dead_letter_queue_url=dead_letters.url)
    good, bad = await receive(source, 2)
    await good.ack(ACK)
    await bad.reject("no \x00 workflow \ud800 of that name" + "!" * 2000)
    assert queue.empty
    (letter,) = dead_letters.drain()
    assert reason_of(letter).startswith("no \ufffd workflow \ufffd of that name!!")
    assert json.loads(letter["Body"])["Records"][0]["s3"]["object"]["key"] == "b+d"
    assert len(json.loads(letter["Body"])["Records"]) == 1
    told = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert told["listener"] == "uploads"
    assert told["source_queue"] == queue.url
    assert told["event_id"] == "b/b d@2-C3D13FE58DE4C810/ObjectCreated:Put"


async def test_rejected_event_of_a_queue_that_redrives_stays_in_it(
    queue: Sqs, dead_letters: Sqs, open_source: OpenSource
) -> None:
    """Without a dead letter queue in the options nothing is deleted: the queue's policy has it."""
    queue.redrive_to(dead_letters, after=10)
    queue.send(notification("b", "k", "1"))
    source = await open_source(queue_url=queue.url, backoff="1m")
    (delivery,) = await receive(source, 1)
    assert delivery.keeps_rejected
    await delivery.reject("never")
    assert queue.counts() == (0, 1)


async def test_rejected_event_without_any_dead_letters_is_the_runners_to_keep(
    queue: Sqs, open_source: OpenSource
) -> None:
    """It says that it keeps nothing, so the runner has kept it before: it may go."""
    queue.send(notification("b", "k", "1"))
    source = await open_source(queue_url=queue.url)
    (delivery,) = await receive(source, 1)
    assert not delivery.keeps_rejected
    await delivery.reject("never")
    assert queue.empty


async def test_dead_letter_that_is_not_taken_is_not_lost(
    queue: Sqs, open_source: OpenSource
) -> None:
    """Where the dead letter queue does not answer, the message stays in its own."""
    queue.send(notification("b", "k", "1"))
    gone = f"{queue.url}-gone"
    source = await open_source(queue_url=queue.url, dead_letter_queue_url=gone, backoff="1s")
    (delivery,) = await receive(source, 1)
    with pytest.raises(TransientError, match="gone"):
        await delivery.reject("never")
    (again,) = await receive(source, 1)
    await again.ack(ACK)
    assert queue.empty


async def test_unreadable_message_backs_off_by_receive_count_then_is_a_dead_letter(
    queue: Sqs, dead_letters: Sqs, open_source: OpenSource
) -> None:
    """A message that cannot be parsed is never back at once, and ends with its reason."""
    sent = queue.send("no event at all")
    source = await open_source(
        queue_url=queue.url,
        dead_letter_queue_url=dead_letters.url,
        max_receives=3,
        backoff="1s",
    )
    started = time.monotonic()
    (delivery,) = await receive(source, 1)
    assert time.monotonic() - started > 2.5  # 1 s after the first receive, 2 s after the second
    assert delivery.event.data == "no event at all"
    await delivery.reject(delivery.unreadable)
    assert queue.empty
    (letter,) = dead_letters.drain()
    assert letter["Body"] == "no event at all"
    assert "not JSON" in reason_of(letter)
    assert letter["MessageAttributes"]["message_id"]["StringValue"] == sent


async def test_unreadable_record_does_not_hold_up_its_message(
    queue: Sqs, dead_letters: Sqs, open_source: OpenSource
) -> None:
    """Of a message with a bad record the good ones are delivered once, the bad one is kept."""
    bad = notification("b", "%ff", "2")
    queue.send(several(notification("b", "good", "1"), bad))
    source = await open_source(
        queue_url=queue.url,
        dead_letter_queue_url=dead_letters.url,
        max_receives=2,
        backoff="1s",
    )
    (good,) = await receive(source, 1)
    await good.ack(ACK)
    (unreadable,) = await receive(source, 1)
    await unreadable.reject(unreadable.unreadable)
    assert queue.empty
    (letter,) = dead_letters.drain()
    assert "not UTF-8" in reason_of(letter)


# The end. -----------------------------------------------------------------------------------------


async def test_shutdown_releases_unstarted_messages_at_once(
    make_queue: MakeQueue, open_source: OpenSource
) -> None:
    """What was received but not handed out is visible again as soon as the source is closed."""
    queue = make_queue(fifo=True)
    for number in "123":
        queue.send(notification("b", number, number), group="g", unique=number)
    source = await open_source(queue_url=queue.url, visibility_timeout="1h")
    (started,) = await receive(source, 1)
    await started.nack("the runner is stopping", retry_after=0)
    await source.close()
    assert queue.counts() == (3, 0)


async def test_poll_that_ends_at_shutdown_puts_its_messages_back(
    queue: Sqs, open_source: OpenSource
) -> None:
    """Messages that came while nobody received are put back when the source is closed."""
    queue.send(notification("b", "1", "1"))
    source = await open_source(queue_url=queue.url, visibility_timeout="1h")
    (delivery,) = await receive(source, 1)
    receiving = asyncio.create_task(receive(source, 1))
    await asyncio.sleep(0.2)  # it polls
    receiving.cancel()
    queue.send(notification("b", "2", "2"))
    await eventually(lambda: queue.counts() == (0, 2), what="the poll to end")
    await delivery.ack(ACK)
    await source.close()
    await eventually(lambda: queue.counts() == (1, 0), what="the message to be back")


async def test_what_is_under_way_is_settled_after_close(
    queue: Sqs, open_source: OpenSource
) -> None:
    """A source that is closed for another connection still settles what it had delivered."""
    queue.send(notification("b", "k", "1"))
    source = await open_source(queue_url=queue.url)
    (delivery,) = await receive(source, 1)
    await source.close()
    assert queue.counts() == (0, 1)
    await delivery.ack(ACK)
    assert queue.empty


async def test_what_is_never_settled_after_close_comes_again(
    queue: Sqs, open_source: OpenSource
) -> None:
    """A closed source keeps nothing hidden: the next one gets what was not settled."""
    queue.send(notification("b", "k", "1"))
    source = await open_source(queue_url=queue.url, visibility_timeout="1s")
    (delivery,) = await receive(source, 1)
    await source.close()
    other = await open_source(queue_url=queue.url)
    (again,) = await receive(other, 1)
    assert again.event.id == delivery.event.id
    await again.ack(ACK)


# FIFO. --------------------------------------------------------------------------------------------


async def test_fifo_group_is_served_one_at_a_time(
    make_queue: MakeQueue, open_source: OpenSource
) -> None:
    """Of a message group one is out at a time, in order; other groups are not held up by it."""
    queue = make_queue(fifo=True)
    for number, group in [("1", "g"), ("2", "g"), ("3", "h")]:
        queue.send(notification("b", number, number), group=group, unique=number)
    source = await open_source(queue_url=queue.url)
    first, other = await receive(source, 2)
    assert [first.event.subject, other.event.subject] == ["1", "3"]
    assert [first.ordering_key, other.ordering_key] == ["g", "h"]
    await nothing(source, during=1.2)
    await first.ack(ACK)
    (second,) = await receive(source, 1)
    assert second.event.subject == "2"
    await second.ack(ACK)
    await other.ack(ACK)
    assert queue.empty


async def test_fifo_failure_holds_its_group(make_queue: MakeQueue, open_source: OpenSource) -> None:
    """When one of a group fails, none behind it goes before it."""
    queue = make_queue(fifo=True)
    for number in "123":
        queue.send(notification("b", number, number), group="g", unique=number)
    source = await open_source(queue_url=queue.url)
    (first,) = await receive(source, 1)
    await first.nack("not now", retry_after=1)
    seen = []
    for _ in range(3):
        (delivery,) = await receive(source, 1)
        seen.append(delivery.event.subject)
        await delivery.ack(ACK)
    assert seen == ["1", "2", "3"]
    assert queue.empty


async def test_fifo_unreadable_message_holds_its_group_until_it_is_a_dead_letter(
    make_queue: MakeQueue, open_source: OpenSource
) -> None:
    """A message that cannot be parsed keeps its place: those behind it wait till it is kept."""
    queue, dead_letters = make_queue(fifo=True), make_queue(fifo=True)
    queue.send(notification("b", "1", "1"), group="g", unique="1")
    queue.send("no event at all", group="g", unique="2")
    queue.send(notification("b", "3", "3"), group="g", unique="3")
    source = await open_source(
        queue_url=queue.url,
        dead_letter_queue_url=dead_letters.url,
        max_receives=2,
        backoff="1s",
    )
    (first,) = await receive(source, 1)
    await first.ack(ACK)
    (second,) = await receive(source, 1)
    await second.reject(second.unreadable)
    (third,) = await receive(source, 1)
    assert third.event.subject == "3"
    assert dead_letters.counts() == (1, 0)
    await third.ack(ACK)
    assert queue.empty


# Connecting. --------------------------------------------------------------------------------------


async def test_missing_queue_is_waited_for(queue: Sqs, open_source: OpenSource) -> None:
    """A queue that is not there yet may come; the error names it."""
    with pytest.raises(TransientError, match="queue-not-there"):
        await open_source(queue_url=f"{queue.url.rsplit('/', 1)[0]}/queue-not-there")


async def test_missing_region_is_permanent(
    queue: Sqs, open_source: OpenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No region anywhere: waiting cannot help, and the error says what to give."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    with pytest.raises(PermanentError, match="give `region`"):
        await open_source(queue_url=queue.url)


async def test_region_is_read_from_the_queues_url(
    open_source: OpenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue's own URL names its region; nothing else is needed."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    with pytest.raises(TransientError, match="the queue"):
        await open_source(queue_url=f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/not-there")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ExpiredToken", TransientError),
        ("ThrottlingException", TransientError),
        ("AccessDenied", TransientError),
        ("ServiceUnavailable", TransientError),
        ("InvalidClientTokenId", PermanentError),
        ("SignatureDoesNotMatch", PermanentError),
    ],
)
async def test_refusals_are_told_apart(
    code: str, expected: type[Exception], moto: Server, queue: Sqs, open_source: OpenSource
) -> None:
    """Wrong keys end the runner at once; what may pass does not; both name the code."""
    with Gate(moto) as gate:
        gate.refusal = code
        with pytest.raises(expected, match=code):
            await open_source(queue_url=queue.url, endpoint_url=gate.url)


async def test_unreachable_endpoint_is_transient(queue: Sqs, open_source: OpenSource) -> None:
    """Nobody there: it may come."""
    with pytest.raises(TransientError, match="the queue"):
        await open_source(queue_url=queue.url, endpoint_url=f"http://127.0.0.1:{free_port()}")


async def test_assumed_role_signs_the_calls(
    moto: Server, queue: Sqs, open_source: OpenSource
) -> None:
    """With assume_role the queue sees the role's temporary keys, and STS the chain's own."""
    queue.send(notification("b", "k", "1"))
    with Gate(moto) as sqs, Gate(moto) as sts:
        role = {
            "role_arn": f"arn:aws:iam::{ACCOUNT}:role/reader",
            "external_id": "tenant-7",
            "sts_endpoint_url": sts.url,
        }
        source = await open_source(queue_url=queue.url, endpoint_url=sqs.url, assume_role=role)
        (delivery,) = await receive(source, 1)
        await delivery.ack(ACK)
        await source.close()
        assert sts.keys == {"test"}
        assert len(sqs.keys) == 1
        assert sqs.keys.pop().startswith("ASIA")
    assert queue.empty


@pytest.mark.parametrize("fifo", [False, True])
async def test_a_queue_that_gives_all_is_asked_at_several_places(
    moto: Server, make_queue: MakeQueue, open_source: OpenSource, fifo: bool
) -> None:
    """A receive takes a round trip: several are under way, but for a FIFO queue."""
    queue = make_queue(fifo=fifo)
    for number in range(80):
        unique = {"group": str(number), "unique": str(number)} if fifo else {}
        queue.send(notification("b", str(number), "1"), **unique)
    with Gate(moto) as gate:
        source = await open_source(queue_url=queue.url, endpoint_url=gate.url)
        for delivery in await receive(source, 80):
            await delivery.ack(ACK)
        await source.close()
    assert (gate.receives > 1) is not fifo


async def test_no_more_is_received_than_there_is_room_for(
    make_queue: MakeQueue, open_source: OpenSource
) -> None:
    """What waits for its turn in a group is not heaped up: others may want the rest."""
    queue = make_queue(fifo=True)
    for number in range(12):
        queue.send(notification("b", str(number), "1"), group=f"g{number // 6}", unique=str(number))
    source = await open_source(queue_url=queue.url, max_in_flight=2)
    (first,) = await receive(source, 1)
    await nothing(source, during=1.5)
    assert queue.counts() == (10, 2)
    await first.ack(ACK)
