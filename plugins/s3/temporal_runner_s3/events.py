"""An object's event, the same whichever way it came, and the order of an object's events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from temporal_runner.plugin import Event


class Undecodable(Exception):
    """The message, or a record of it, is nothing that is known here."""


def is_folder_marker(key: str, size: int | None) -> bool:
    """What consoles put to show a folder: an empty object whose key ends with a slash."""
    return key.endswith("/") and not size


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEvent:
    """What happened to an object, in S3's words.

    Attributes:
        bucket: The bucket's name.
        key: The key, decoded.
        type: S3's event name without `s3:`.
        time: When.
        size: Bytes.
        etag: Without quotes.
        version_id: In a bucket with versions.
        sequencer: What orders the puts and deletes of one key.
        request_id: The request that caused it.
        region: The bucket's.
        detail: What else the sender said.
        more: What else it said of the object.
    """

    bucket: str
    key: str
    type: str
    time: datetime | None
    size: int | None = None
    etag: str | None = None
    version_id: str | None = None
    sequencer: str | None = None
    request_id: str | None = None
    region: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def event(self, token: str | None = None) -> Event:
        """The event, the same whichever way it came.

        Args:
            token: What tells it from all others of this key and type.
        """
        for name in ("bucket", "key", "type"):
            if not isinstance(value := getattr(self, name), str) or not value:
                raise Undecodable(f"a record whose {name} is {value!r}")
        for name in ("etag", "version_id", "sequencer", "request_id", "region"):
            if not isinstance(value := getattr(self, name), str | None):
                raise Undecodable(f"a record whose {name} is {value!r}")
        about = {
            "key": self.key,
            "size": self.size,
            "eTag": self.etag,
            "versionId": self.version_id,
            "sequencer": self.sequencer,
        }
        return Event(
            id=f"{self.bucket}/{self.key}@{token or self._token()}/{self.type}",
            source=f"s3://{self.bucket}",
            type=self.type,
            subject=self.key,
            time=self.time,
            datacontenttype="application/json",
            data={
                "bucket": {"name": self.bucket},
                "object": {
                    **self.more,
                    **{name: value for name, value in about.items() if value is not None},
                },
                "region": self.region,
                "detail": dict(self.detail),
            },
        )

    def _token(self) -> str:
        """The sequencer and the request, or the version that was made or removed.

        Not the sequencer alone: some stores write the same one into every event. Where there is no
        request either, all that tells is told. Other events (tags, restores) may happen to one
        version again and again: their time and their request tell.
        """
        time = self.time.isoformat() if self.time else ""
        if self.sequencer:
            etag = f"{self.etag or self.version_id or ''}-{time}"
            return f"{normal_sequencer(self.sequencer)}-{self.request_id or etag}"
        made = self.type.startswith(("ObjectCreated", "ObjectRemoved"))
        if made and self.version_id and self.version_id != "null":
            return self.version_id
        return f"{time}-{self.request_id or self.etag or ''}"


def normal_sequencer(sequencer: str) -> str:
    """A sequencer as both ways write it: S3 pads on the left and uses capitals, EventBridge not."""
    return sequencer.lower().lstrip("0") or "0"


def in_sequence(events: Sequence[Event]) -> list[int]:
    """The order in which to handle events: their indexes.

    Events of one object go by their sequencers, which compare as numbers do (padded with zeros on
    the left). Those of different objects say nothing of one another, and keep their places.
    """
    places: dict[tuple[str, str | None], list[int]] = {}
    for index, event in enumerate(events):
        if event.data["object"].get("sequencer"):
            places.setdefault((event.source, event.subject), []).append(index)
    order = list(range(len(events)))
    for indexes in places.values():
        by_sequencer = sorted(
            indexes,
            key=lambda index: normal_sequencer(events[index].data["object"]["sequencer"]).zfill(64),
        )
        for place, index in zip(indexes, by_sequencer, strict=True):
            order[place] = index
    return order
