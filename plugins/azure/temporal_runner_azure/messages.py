"""From a queue message's text to events: pure, no network, no SDK.

A message is one event or an array of them, in Event Grid's schema or as CloudEvents, mostly in
base64. What a blob event is about is read from its URL, so that both schemas and both modes name
the same blob, and the same version of it, in the same words.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from temporal_runner.plugin import Event, event_from_json, parse_json

Encoding = Literal["auto", "base64", "text"]

MOST_EVENTS = 1000
"""Events in one message. Event Grid sends one; each is a delivery of its own, and takes memory."""
BLOB_CREATED = "Microsoft.Storage.BlobCreated"
_LONGEST_NAME_IN_ID = 200
_STORAGE_HOST = re.compile(
    # The account, a DNS zone, a private link, then the service: also in sovereign clouds.
    r"(?P<account>[a-z0-9]+?)(?:-secondary)?(?P<zone>\.z\d+)?(?:\.privatelink)?"
    r"\.(?:blob|dfs)\.(?P<suffix>[a-z0-9.-]+)"
)


class Undecodable(Exception):
    """A message, or one event of it, that no later delivery will make readable."""


@dataclass(frozen=True, slots=True)
class BlobAddress:
    """Where a blob is.

    Attributes:
        account: The storage account's name.
        container: The container; `$root` where the URL names none.
        blob: The blob's name, decoded.
        container_url: The container's URL at the blob endpoint: the event's `source`.
    """

    account: str
    container: str
    blob: str
    container_url: str


def blob_address(url: str) -> BlobAddress:
    """Read a blob's URL: of the blob or the dfs endpoint, of any cloud, or the emulator's.

    Raises:
        ValueError: It is not the URL of a blob.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    path = parts.path.lstrip("/")
    if match := _STORAGE_HOST.fullmatch(host):
        account = match["account"]
        base = f"{parts.scheme}://{account}{match['zone'] or ''}.blob.{match['suffix']}"
    else:
        # The emulator's, and whatever speaks as it does: the account is the path's first part.
        account, _, path = path.partition("/")
        base = f"{parts.scheme}://{parts.netloc}/{account}"
    # Only the first slash that is not encoded parts the container from the name.
    container, slash, blob = path.partition("/")
    if not slash:
        container, blob = "$root", container
    container, blob = unquote(container, errors="strict"), unquote(blob, errors="strict")
    if not (parts.scheme and host and account and container and blob):
        raise ValueError(f"not the URL of a blob: {url}")
    return BlobAddress(account, container, blob, f"{base}/{container}")


def blob_event_id(blob: str, etag: str) -> str:
    """The identity of one version of a blob: what makes two deliveries the same event."""
    if len(blob) > _LONGEST_NAME_IN_ID:
        digest = hashlib.sha256(blob.encode()).hexdigest()[:32]
        blob = f"{digest}…{blob[-100:]}"
    return f"{blob}@{plain_etag(etag)}"


def plain_etag(etag: str) -> str:
    """An etag without its quotes: services give it either way."""
    return etag.removeprefix("W/").strip('"')


def decode(text: str, encoding: Encoding) -> list[Any]:
    """The events of a message as JSON, not looked into yet.

    Args:
        text: The message's text as the queue has it.
        encoding: Whether it is base64; `auto` tells by the text itself, for JSON's first character
            is never one of base64's.

    Raises:
        Undecodable: It is not base64, not UTF-8, not JSON, or holds no event.
    """
    stripped = text.lstrip("\ufeff").strip()
    if encoding == "base64" or (encoding == "auto" and not stripped.startswith(("{", "["))):
        try:
            stripped = base64.b64decode(stripped, validate=True).decode("utf-8-sig")
        except (binascii.Error, ValueError):
            reason = "it is neither JSON nor base64" if encoding == "auto" else "it is not base64"
            raise Undecodable(f"{reason} of UTF-8 text") from None
    try:
        content = parse_json(stripped)
    except ValueError as error:
        raise Undecodable(f"it is not JSON: {error}") from None
    entries = content if isinstance(content, list) else [content]
    if not entries:
        raise Undecodable("it holds no event")
    if len(entries) > MOST_EVENTS:
        raise Undecodable(f"it holds {len(entries)} events; {MOST_EVENTS} is the most")
    return entries


def encode(entries: list[Any], like: str) -> str:
    """The text of a message with these events, in the form of the one they came in."""
    if like.lstrip("\ufeff").strip().startswith(("{", "[")):
        return json.dumps(entries)  # escaped: not every character may stand in the queue's XML
    return base64.b64encode(json.dumps(entries, ensure_ascii=False).encode()).decode("ascii")


def read_event(entry: Any) -> Event:
    """One entry of a message as an event, whichever of the two schemas it has.

    Raises:
        Undecodable: It is neither.
    """
    match entry:
        case {"specversion": _}:
            event = _of_cloudevents(entry)
        case {"eventType": str(), "id": str(), "topic": str()}:
            event = _of_event_grid(entry)
        case _:
            raise Undecodable("it is an event neither of Event Grid's schema nor of CloudEvents")
    return _about_blob(event) if event.type.startswith("Microsoft.Storage.") else event


def _of_cloudevents(entry: Mapping[str, Any]) -> Event:
    try:
        event = event_from_json(entry)
    except ValueError as error:
        raise Undecodable(f"it is no CloudEvent: {error}") from None
    if event.datacontenttype is None and "data_base64" not in entry:
        return replace(event, datacontenttype="application/json")  # which is what that stands for
    return event


def _of_event_grid(entry: Mapping[str, Any]) -> Event:
    if not (entry["id"] and entry["eventType"] and entry["topic"]):
        raise Undecodable("an event's id, eventType and topic must not be empty")
    subject = entry.get("subject")
    return Event(
        id=entry["id"],
        source=entry["topic"],
        type=entry["eventType"],
        subject=subject if isinstance(subject, str) and subject else None,
        time=_time(entry.get("eventTime")),
        datacontenttype="application/json",
        data=entry.get("data"),
    )


def is_created_file(event: Event) -> bool:
    """Whether it is Data Lake's creation of a file that is still empty."""
    return (
        event.type == BLOB_CREATED
        and isinstance(event.data, Mapping)
        and event.data.get("api") == "CreateFile"
    )


def _about_blob(event: Event) -> Event:
    """The same event with the blob in `source`, `subject` and `data`, its version in the `id`."""
    data = event.data
    url = data.get("url") if isinstance(data, Mapping) else None
    if not isinstance(url, str):
        return event  # a rename, a tier change of many, a policy: they speak for themselves
    try:
        address = blob_address(url)
    except ValueError as error:
        raise Undecodable(str(error)) from None
    etag = data.get("eTag")
    of_version = event.type == BLOB_CREATED and isinstance(etag, str) and plain_etag(etag)
    return Event(
        id=blob_event_id(address.blob, etag) if of_version else event.id,
        source=address.container_url,
        type=event.type,
        subject=address.blob,
        time=event.time,
        datacontenttype=event.datacontenttype,
        data={**data, **blob_data(address)},
        extensions={
            **event.extensions,
            "eventgridid": event.id,
            "eventgridtopic": event.source,
            **({"eventgridsubject": event.subject} if event.subject else {}),
        },
    )


def blob_data(address: BlobAddress) -> dict[str, str]:
    """What `data` says of a blob's place, beside what Event Grid says."""
    return {"account": address.account, "container": address.container, "blob": address.blob}


def _time(raw: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(raw)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
