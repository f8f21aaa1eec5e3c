"""From a queue's message to events: pure decoding, no network, no SDK.

Five shapes come in: S3's own notification, the same in an SNS envelope or by SNS's raw delivery,
an EventBridge event, and that in an SNS envelope. All become the same event; `docs/reference/s3.md`
has the table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from temporal_runner.plugin import Event, parse_json
from temporal_runner_s3.events import ObjectEvent, Undecodable, is_folder_marker

NOT_IN_MESSAGES = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that SQS refuses in a message and in its attributes."""
MOST_RECORDS = 1000
"""Records in one message. S3 sends one; each is a delivery of its own, and takes memory."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a message.

    Attributes:
        body: A message that holds this record alone, as it came: what a dead letter keeps.
        event: The event; None where the record cannot be read.
        problem: Why it cannot be read; empty where it can.
    """

    body: str
    event: Event | None = None
    problem: str = ""


def read_message(body: str) -> Sequence[Record]:
    """The records of a message: none for what is no event (`s3:TestEvent`, folder markers).

    A message that cannot be read as a whole is one record with its problem.
    """
    try:
        return list(_records(body, _unwrapped(_json(body))))
    except Undecodable as problem:
        return [Record(body, problem=str(problem))]


def _json(text: str) -> Mapping[str, Any]:
    try:
        content = parse_json(text.strip("\ufeff \t\r\n"))
    except ValueError as error:
        raise Undecodable(f"it is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise Undecodable(f"it is JSON, but a {type(content).__name__} and not an object")
    return content


def _unwrapped(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is in an SNS envelope; anything else as it is."""
    if "TopicArn" not in content or "Type" not in content:
        return content
    if content["Type"] != "Notification":
        raise Undecodable(f"an SNS {content['Type']}: confirm or mend the topic's subscription")
    message = content.get("Message")
    if not isinstance(message, str):
        raise Undecodable("an SNS envelope without a Message")
    try:
        return _json(message)
    except Undecodable as problem:
        raise Undecodable(f"in its SNS envelope {problem}") from None


def _records(body: str, content: Mapping[str, Any]) -> Iterator[Record]:
    if content.get("Event") == "s3:TestEvent":
        return
    if "detail-type" in content:
        yield from _record(body, content, _of_event_bridge)
    elif isinstance(content.get("Records"), list):
        records = content["Records"]
        if len(records) > MOST_RECORDS:
            raise Undecodable(f"it has {len(records)} records; {MOST_RECORDS} is the most")
        for record in records:
            alone = body if len(records) == 1 else _written({"Records": [record]})
            yield from _record(alone, record, _of_notification)
    else:
        raise Undecodable("neither an S3 notification nor an EventBridge event, nor one in SNS")


def _written(content: Any) -> str:
    """JSON no longer than it came: escaped is only what a queue's message must not hold."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return NOT_IN_MESSAGES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _record(body: str, raw: Any, read: Any) -> Iterator[Record]:
    try:
        event = read(raw)
    except Undecodable as problem:
        yield Record(body, problem=str(problem))
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        told = "a record without what S3 always gives: an event name, a bucket's name and a key"
        lacks = f"; it lacks {error.args[0]!r}" if isinstance(error, KeyError) else ""
        yield Record(body, problem=told + lacks)
    else:
        about = event.data["object"]
        made = event.type.startswith("ObjectCreated")
        if not (made and is_folder_marker(about["key"], about.get("size"))):
            yield Record(body, event)


# S3's own notification. --------------------------------------------------------------------------

_READ = ("eventVersion", "eventSource", "awsRegion", "eventTime", "eventName", "s3")


_ENCODE_KEYS = ("aws:s3", "minio:s3")
"""Senders that encode keys, once, as a form is; other stores send them as they are."""
_OF_OBJECT = ("key", "size", "eTag", "etag", "versionId", "version-id", "sequencer")


def _of_notification(record: Mapping[str, Any]) -> Event:
    sender = str(record.get("eventSource") or "aws:s3")
    version = str(record.get("eventVersion") or "2.0")
    if not sender.endswith(":s3"):
        raise Undecodable(f"an event of {sender}, not of S3")
    if version.split(".")[0] != "2":
        raise Undecodable(f"an S3 notification of version {version}; 2.x is known")
    s3, about = record["s3"], record["s3"]["object"]
    try:
        key = about["key"]
        key = unquote_plus(key, errors="strict") if sender in _ENCODE_KEYS else key
    except UnicodeDecodeError:
        raise Undecodable(f"the key {about['key']!r} is not UTF-8") from None
    return ObjectEvent(
        bucket=s3["bucket"]["name"],
        key=key,
        type=str(record["eventName"]).removeprefix("s3:"),
        time=_time(record.get("eventTime")),
        size=_size(about),
        etag=_text(about, "eTag"),
        version_id=_text(about, "versionId"),
        sequencer=_text(about, "sequencer"),
        request_id=_text(record.get("responseElements"), "x-amz-request-id"),
        region=_text(record, "awsRegion"),
        detail={name: value for name, value in record.items() if name not in _READ},
        more=_rest(about),
    ).event()


def _text(fields: Any, *names: str) -> str | None:
    """The first of some optional fields that is there; None for what is empty or no text."""
    if not isinstance(fields, Mapping):
        return None
    return next((one for name in names if isinstance(one := fields.get(name), str) and one), None)


def _size(about: Mapping[str, Any]) -> int | None:
    size = about.get("size")
    return size if isinstance(size, int) and not isinstance(size, bool) else None


def _rest(about: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a store tells of an object beyond AWS: `userMetadata`, `contentType` and so on."""
    return {name: value for name, value in about.items() if name not in _OF_OBJECT}


# EventBridge. ------------------------------------------------------------------------------------

_CREATED = {
    "PutObject": "ObjectCreated:Put",
    "POST Object": "ObjectCreated:Post",
    "CopyObject": "ObjectCreated:Copy",
    "CompleteMultipartUpload": "ObjectCreated:CompleteMultipartUpload",
}
_DELETED = {"Permanently Deleted": "Delete", "Delete Marker Created": "DeleteMarkerCreated"}
_OTHERS = {
    "Object Restore Initiated": "ObjectRestore:Post",
    "Object Restore Completed": "ObjectRestore:Completed",
    "Object Restore Expired": "ObjectRestore:Delete",
    "Object Storage Class Changed": "LifecycleTransition",
    "Object Access Tier Changed": "IntelligentTiering",
    "Object ACL Updated": "ObjectAcl:Put",
    "Object Tags Added": "ObjectTagging:Put",
    "Object Tags Deleted": "ObjectTagging:Delete",
}


def _of_event_bridge(content: Mapping[str, Any]) -> Event:
    if content.get("source") != "aws.s3":
        raise Undecodable(f"an EventBridge event of {content.get('source')}, not of aws.s3")
    detail = content["detail"]
    about = detail["object"]
    return ObjectEvent(
        bucket=detail["bucket"]["name"],
        key=about["key"],
        type=_type_of(content["detail-type"], detail),
        time=_time(content.get("time")),
        size=_size(about),
        etag=_text(about, "etag", "eTag"),
        version_id=_text(about, "version-id"),
        sequencer=_text(about, "sequencer"),
        request_id=_text(detail, "request-id"),
        region=_text(content, "region"),
        detail={name: value for name, value in detail.items() if name not in ("bucket", "object")},
        more=_rest(about),
    ).event()


def _type_of(detail_type: str, detail: Mapping[str, Any]) -> str:
    """The name that S3's own notification has for it; of a new kind, EventBridge's own."""
    if detail_type == "Object Created":
        return _CREATED.get(detail.get("reason", ""), "ObjectCreated")
    if detail_type == "Object Deleted":
        expired = detail.get("reason") == "Lifecycle Expiration"
        what = _DELETED.get(detail.get("deletion-type", ""), "Delete")
        return f"LifecycleExpiration:{what}" if expired else f"ObjectRemoved:{what}"
    return _OTHERS.get(detail_type, detail_type)


def _time(raw: Any) -> datetime | None:
    """When; None where that is missing or cannot be read, which is no reason to reject."""
    try:
        if isinstance(raw, str):
            time = datetime.fromisoformat(raw)
            return time if time.tzinfo else time.replace(tzinfo=UTC)
        if isinstance(raw, int | float):
            return datetime.fromtimestamp(raw, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
