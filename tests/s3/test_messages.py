"""From a queue's message to events: every shape S3's events come in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temporal_runner.plugin import Event
from temporal_runner_s3.events import in_sequence
from temporal_runner_s3.messages import read_message
from tests.s3.support import event_bridge, in_sns, notification, saved, several

STRAIGHT, BRIDGE = saved("notification-put"), saved("eventbridge-created")


def events(body: str) -> list[Event]:
    records = read_message(body)
    assert [record.problem for record in records] == [""] * len(records)
    return [record.event for record in records if record.event]


def problem(body: str) -> str:
    (record,) = read_message(body)
    assert record.event is None
    assert record.body == body
    return record.problem


def changed(body: str, *path: Any, value: Any = None) -> str:
    """The same message with one value set, or taken out."""
    content = json.loads(body)
    inner = content
    for step in path[:-1]:
        inner = inner[step]
    inner.pop(path[-1], None) if value is None else inner.update({path[-1]: value})
    return json.dumps(content)


@pytest.mark.parametrize(
    "body",
    [STRAIGHT, in_sns(STRAIGHT), BRIDGE, in_sns(BRIDGE)],
    ids=["notification", "notification-in-sns", "eventbridge", "eventbridge-in-sns"],
)
def test_every_shape_becomes_the_same_event(body: str) -> None:
    """Whichever way an event comes, its id, source, type, subject and object are the same."""
    (event,) = events(body)
    assert (
        event.id
        == "uploads/reports/2026/a b+c ü.pdf@617f08299329d189-C3D13FE58DE4C810/ObjectCreated:Put"
    )
    assert event.source == "s3://uploads"
    assert event.type == "ObjectCreated:Put"
    assert event.subject == "reports/2026/a b+c ü.pdf"
    assert event.time is not None
    assert event.time.replace(microsecond=0) == datetime(2026, 11, 12, 8, 30, 15, tzinfo=UTC)
    assert event.data["bucket"] == {"name": "uploads"}
    assert event.data["region"] == "eu-central-1"
    about = dict(event.data["object"])
    assert about.pop("sequencer").lower().lstrip("0") == "617f08299329d189"
    assert about == {
        "key": "reports/2026/a b+c ü.pdf",
        "size": 1024,
        "eTag": "d41d8cd98f00b204e9800998ecf8427e",
        "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
    }


def test_what_else_the_sender_said_is_in_detail() -> None:
    """Nothing of a record is lost: what has no name of ours stands in data.detail."""
    assert events(STRAIGHT)[0].data["detail"]["requestParameters"] == {
        "sourceIPAddress": "192.0.2.1"
    }
    assert events(BRIDGE)[0].data["detail"]["requester"] == "111122223333"


def test_keys_are_decoded_exactly_once_and_only_in_notifications() -> None:
    """S3's own notifications encode the key once; EventBridge does not encode it at all."""
    assert events(notification("b", "50%25+off%2520.txt", "1"))[0].subject == "50% off%20.txt"
    assert events(event_bridge("b", "50%25+off.txt", "1"))[0].subject == "50%25+off.txt"


def test_test_event_is_no_event() -> None:
    """What S3 sends when notifications are set up has no records, in an SNS envelope too."""
    assert read_message(saved("test-event")) == []
    assert read_message(in_sns(saved("test-event"))) == []


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.3", "2.9"])
def test_any_minor_version_is_read(version: str) -> None:
    """Minor versions only add fields."""
    assert events(changed(STRAIGHT, "Records", 0, "eventVersion", value=version))


def test_n_records_are_n_events() -> None:
    """Each record of a message is an event of its own, and can be kept on its own."""
    first, second = notification("b", "one", "1"), notification("b", "two+2", "2")
    records = read_message(several(first, second))
    assert [record.event.subject for record in records if record.event] == ["one", "two 2"]
    assert [events(record.body)[0].subject for record in records] == ["one", "two 2"]


def test_one_unreadable_record_leaves_the_others_readable() -> None:
    """A record that cannot be read does not take the message's other records with it."""
    bad = changed(notification("b", "bad", "2"), "Records", 0, "s3", "bucket")
    good, unreadable = read_message(several(notification("b", "good", "1"), bad))
    assert good.event is not None
    assert unreadable.event is None
    assert "bucket" in unreadable.problem


def test_folder_markers_are_skipped() -> None:
    """An empty object whose key ends with a slash is no event; one with content is."""
    marker = notification("b", "folder/", "1")
    assert events(marker)
    assert read_message(changed(marker, "Records", 0, "s3", "object", "size", value=0)) == []
    assert read_message(changed(marker, "Records", 0, "s3", "object", "size")) == []


@pytest.mark.parametrize(
    ("detail_type", "detail", "expected"),
    [
        ("Object Created", {"reason": "PutObject"}, "ObjectCreated:Put"),
        ("Object Created", {"reason": "POST Object"}, "ObjectCreated:Post"),
        ("Object Created", {"reason": "CopyObject"}, "ObjectCreated:Copy"),
        (
            "Object Created",
            {"reason": "CompleteMultipartUpload"},
            "ObjectCreated:CompleteMultipartUpload",
        ),
        ("Object Created", {"reason": "something new"}, "ObjectCreated"),
        (
            "Object Deleted",
            {"reason": "DeleteObject", "deletion-type": "Permanently Deleted"},
            "ObjectRemoved:Delete",
        ),
        (
            "Object Deleted",
            {"reason": "DeleteObject", "deletion-type": "Delete Marker Created"},
            "ObjectRemoved:DeleteMarkerCreated",
        ),
        (
            "Object Deleted",
            {"reason": "Lifecycle Expiration", "deletion-type": "Permanently Deleted"},
            "LifecycleExpiration:Delete",
        ),
        (
            "Object Deleted",
            {"reason": "Lifecycle Expiration", "deletion-type": "Delete Marker Created"},
            "LifecycleExpiration:DeleteMarkerCreated",
        ),
        ("Object Restore Initiated", {}, "ObjectRestore:Post"),
        ("Object Restore Completed", {}, "ObjectRestore:Completed"),
        ("Object Restore Expired", {}, "ObjectRestore:Delete"),
        ("Object Storage Class Changed", {}, "LifecycleTransition"),
        ("Object Access Tier Changed", {}, "IntelligentTiering"),
        ("Object ACL Updated", {}, "ObjectAcl:Put"),
        ("Object Tags Added", {}, "ObjectTagging:Put"),
        ("Object Tags Deleted", {}, "ObjectTagging:Delete"),
        ("Object Polished", {}, "Object Polished"),
    ],
)
def test_event_bridge_types_have_s3_names(
    detail_type: str, detail: dict[str, str], expected: str
) -> None:
    """A route's filter need not know which way its events come."""
    content = json.loads(BRIDGE)
    content["detail-type"] = detail_type
    del content["detail"]["reason"]
    content["detail"].update(detail)
    assert events(json.dumps(content))[0].type == expected


def test_identity_is_bucket_key_sequencer_and_event_name() -> None:
    """Two happenings never have one id, and a duplicate never has another."""
    base = notification("b", "k", "00A1")
    again = [base, notification("b", "k", "00a1", etag="other")]
    others = [
        notification("c", "k", "00A1"),
        notification("b", "l", "00A1"),
        notification("b", "k", "00A2"),
        changed(base, "Records", 0, "eventName", value="ObjectCreated:Copy"),
    ]
    assert len({events(body)[0].id for body in again}) == 1
    assert len({events(body)[0].id for body in [base, *others]}) == 5


@pytest.mark.parametrize("field", ["request", "etag", "time"])
def test_a_store_whose_sequencer_is_constant_has_five_events(field: str) -> None:
    """Whatever else it tells them apart by; each delivered twice is one."""
    ids = []
    for number in [*range(5), *range(5)]:
        content = json.loads(notification("b", "k", "0055AED6DCD90281E5"))
        record = content["Records"][0]
        record["responseElements"] = {}
        if field == "request":
            record["responseElements"] = {"x-amz-request-id": f"R{number}"}
        elif field == "etag":
            record["s3"]["object"]["eTag"] = f"e{number}"
        else:
            record["eventTime"] = f"2026-01-01T00:00:0{number}.000Z"
        ids.append(events(json.dumps(content))[0].id)
    assert len(set(ids)) == 5


def test_identity_without_sequencer_is_the_version() -> None:
    """What makes or removes a version happens once to it."""
    body = changed(STRAIGHT, "Records", 0, "s3", "object", "sequencer")
    assert "@096fKKXTRTtl3on89fVO.nfljtsv6qko/" in events(body)[0].id


def test_what_happens_again_to_one_version_is_another_event() -> None:
    """Tags are set again and again on one version: the request and its time tell them apart."""
    first = saved("notification-tagging")
    element = "responseElements"
    later = changed(first, "Records", 0, element, value={"x-amz-request-id": "ANOTHER"})
    assert events(first)[0].type == "ObjectTagging:Put"
    assert events(first)[0].id == events(first)[0].id
    assert events(first)[0].id != events(later)[0].id


def test_deleted_object_has_no_size() -> None:
    """What a service does not say of an object is absent, not null."""
    (event,) = events(saved("eventbridge-deleted"))
    assert event.type == "ObjectRemoved:DeleteMarkerCreated"
    assert "size" not in event.data["object"]


def test_sequencers_compare_per_key_and_left_padded() -> None:
    """Events of one object go in the order they happened; other objects keep their places."""
    keys = [("a", "0062E99A88DC407460"), ("b", "100"), ("a", "617f08299329d189"), ("b", "FF")]
    order = in_sequence([events(notification("x", key, seq))[0] for key, seq in keys])
    assert order == [2, 3, 0, 1]


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("not json", "it is not JSON"),
        ("", "it is not JSON"),
        (DEEP, "it is not JSON"),
        ("[1]", "a list and not an object"),
        ("{}", "neither an S3 notification nor an EventBridge event"),
        (in_sns("oops"), "in its SNS envelope it is not JSON"),
        (changed(in_sns(STRAIGHT), "Message"), "without a Message"),
        (
            changed(in_sns(STRAIGHT), "Type", value="SubscriptionConfirmation"),
            "an SNS SubscriptionConfirmation",
        ),
        (changed(STRAIGHT, "Records", 0, "eventVersion", value="3.0"), "of version 3.0"),
        (changed(STRAIGHT, "Records", 0, "eventSource", value="aws:ec2"), "an event of aws:ec2"),
        (changed(STRAIGHT, "Records", 0, "s3", "object", "key"), "'key'"),
        (changed(STRAIGHT, "Records", 0, "s3", "object", "key", value="%ff"), "not UTF-8"),
        (changed(STRAIGHT, "Records", 0, "s3", value="text"), "what S3 always gives"),
        (changed(BRIDGE, "source", value="aws.ec2"), "an EventBridge event of aws.ec2"),
        (changed(BRIDGE, "detail"), "'detail'"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_cannot_be_read_says_why(body: str, expected: str) -> None:
    """A message that is nothing known here is kept with a reason that a person understands."""
    assert expected in problem(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if path else []
    for step, inner in steps:
        within = isinstance(inner, dict | list)
        found += places(inner, (*path, step)) if within else [(*path, step)]
    return found


@given(data=st.data(), body=st.sampled_from([STRAIGHT, BRIDGE, in_sns(STRAIGHT)]))
@settings(max_examples=300, deadline=None)
def test_no_message_can_stop_the_listener(data: st.DataObject, body: str) -> None:
    """Whatever stands where in a message: it is an event that routes can take, or has a problem."""
    content = json.loads(body)
    path = data.draw(st.sampled_from(places(content)))
    inner = content
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = data.draw(JSON)
    for record in read_message(json.dumps(content)):
        assert (record.event is None) == bool(record.problem)
        if event := record.event:
            assert all(isinstance(text, str) for text in (event.id, event.source, event.type))
            assert isinstance(event.subject, str)
            assert event.type
            assert event.time is None or event.time.tzinfo
            json.dumps(event.to_dict(), allow_nan=False).encode()


@pytest.mark.parametrize(
    ("sender", "key"),
    [("aws:s3", "a b"), ("minio:s3", "a b"), ("", "a b"), (None, "a b"), ("ceph:s3", "a+b")],
)
def test_a_key_is_decoded_where_its_sender_encodes(sender: str | None, key: str) -> None:
    """Another store's plus sign is a plus sign."""
    body = changed(notification("b", "a+b", "1"), "Records", 0, "eventSource", value=sender)
    assert events(body)[0].subject == key


@pytest.mark.parametrize("around", ["\ufeff{}", " \r\n{}\n", "\ufeff\n{} "])
def test_a_bom_and_blanks_are_no_part_of_a_message(around: str) -> None:
    """Whoever copies messages may leave them."""
    assert len(events(around.replace("{}", STRAIGHT))) == 1


@pytest.mark.parametrize("value", ["", None, 5, [], "nonsense"])
@pytest.mark.parametrize(
    "path",
    [
        ("eventTime",),
        ("awsRegion",),
        ("responseElements",),
        ("s3", "object", "eTag"),
        ("s3", "object", "size"),
        ("s3", "object", "versionId"),
        ("s3", "object", "sequencer"),
    ],
)
def test_an_optional_field_never_rejects(path: tuple[str, ...], value: object) -> None:
    """Missing, empty or of another type."""
    content = json.loads(notification("b", "k", "1"))
    inner = content["Records"][0]
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert len(events(json.dumps(content))) == 1


def test_what_else_a_store_says_of_an_object_is_kept() -> None:
    """As it came, and never in the place of what is the object's own."""
    content = json.loads(notification("b", "k", "1"))
    more = {"contentType": "text/plain", "userMetadata": {"x": "y"}}
    content["Records"][0]["s3"]["object"].update(more)
    about = events(json.dumps(content))[0].data["object"]
    assert {name: about[name] for name in more} == more
    assert about["key"] == "k"


@pytest.mark.parametrize("size", [None, 0])
def test_a_folder_marker_that_is_deleted_is_an_event(size: int | None) -> None:
    """Only its making is left out."""
    body = changed(notification("b", "in/", "1"), "Records", 0, "s3", "object", "size", value=size)
    assert events(body) == []
    body = changed(body, "Records", 0, "eventName", value="ObjectRemoved:Delete")
    assert events(body)[0].subject == "in/"


@pytest.mark.parametrize("record", [{}, {"s3": 1}, {"s3": {"object": {}}}, [], "x", None])
def test_a_reason_holds_no_exception(record: object) -> None:
    """Words of ours, for a person."""
    (read,) = read_message(json.dumps({"Records": [record]}))
    assert read.problem.startswith("a record without what S3 always gives")
    assert "Error" not in read.problem
