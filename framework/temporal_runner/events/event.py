"""Event and Delivery: what an event source hands over, in the words of CloudEvents.

receive() -> Delivery -> route(event) -> Action -> dispatch() -> ack | nack | reject
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_ATTRIBUTES = frozenset(
    ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data")
)
"""CloudEvents' own attributes; all others of an event are extensions."""


@dataclass(frozen=True, slots=True)
class Written:
    """A value with the JSON text that it was parsed from.

    A route that hands the value on can then send the text as it is.

    Attributes:
        value: The value.
        text: The JSON, in UTF-8.
    """

    value: Any
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened outside, as CloudEvents 1.0 describes an event.

    Two events with the same `source` and `id` are the same event: what deduplication rests on.

    Attributes:
        id: The sender's own identifier of this event, the same at each delivery of it.
        source: Where it happened, a URI reference such as `s3://bucket` or `/hooks/github`.
        type: What kind of thing happened, such as `ObjectCreated:Put`.
        subject: What it happened to, such as an object's key.
        time: When it happened.
        datacontenttype: The media type of `data`.
        data: The event's own content: parsed JSON, or text; bytes that are neither, in base64.
        extensions: CloudEvents extension attributes (`traceparent`, a webhook's headers, …).
        written: The data as it came, where a source has it as JSON; only saves encoding it anew.
    """

    id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime | None = None
    datacontenttype: str | None = None
    data: Any = None
    extensions: Mapping[str, Any] = field(default_factory=dict)
    written: Written | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The event in CloudEvents' JSON form: what expressions see as `event`."""
        attributes: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
        }
        if self.subject is not None:
            attributes["subject"] = self.subject
        if self.time is not None:
            attributes["time"] = self.time.isoformat()
        if self.datacontenttype is not None:
            attributes["datacontenttype"] = self.datacontenttype
        return {**self.extensions, **attributes, "data": self.data}

    @classmethod
    def from_dict(cls, attributes: Mapping[str, Any]) -> Event:
        """The event that `to_dict` wrote.

        It looks at nothing: what comes from outside is checked by `cloudevents.event_from_json`,
        which hands it on to here.
        """
        time = attributes.get("time")
        return cls(
            id=attributes["id"],
            source=attributes["source"],
            type=attributes["type"],
            subject=attributes.get("subject"),
            time=None if time is None else datetime.fromisoformat(time),
            datacontenttype=attributes.get("datacontenttype"),
            data=attributes.get("data"),
            extensions={
                name: value for name, value in attributes.items() if name not in _ATTRIBUTES
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of an event that needs no further delivery.

    Attributes:
        action: The action that was taken, such as `start`; empty where no route matched.
        workflow_id: The workflow (or standalone activity) concerned, if any.
        run_id: Its run, where Temporal named one.
        duplicate: Temporal already had the outcome of this event: nothing new was started.
        completed: The route waited for the result (`wait_for_result`), and it came in time.
        result: That result, as JSON has it.
    """

    action: str = ""
    workflow_id: str | None = None
    run_id: str | None = None
    duplicate: bool = False
    completed: bool = False
    result: Any = None


class Delivery(ABC):
    """One event plus the three ways to settle it; the listener calls exactly one of them, once.

    A source subclasses this with whatever its own service needs to settle a message.

    Attributes:
        event: The event delivered.
        ordering_key: Deliveries with the same key are handled one after the other, in the order
            in which `receive` returned them; None is any order.
        unreadable: Why the content could not be made an event, where it could not. `event` then
            tells of the message itself, and is rejected without being routed.
        keeps_rejected: `reject` keeps the event in a place of the source's own, such as a dead
            letter queue. Where it does not, the runner keeps it in its dead letters first.
            False from the moment when `reject` raised `NotKept`.
    """

    event: Event
    ordering_key: str | None = None
    unreadable: str = ""
    keeps_rejected: bool = False

    def __init__(self, event: Event) -> None:
        self.event = event

    @abstractmethod
    async def ack(self, accepted: Accepted) -> None:
        """The event is durably in Temporal, or no route wants it: never deliver it again."""

    @abstractmethod
    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """It could not be handled now: deliver it again, in about `retry_after` seconds."""

    @abstractmethod
    async def reject(self, reason: str) -> None:
        """It can never succeed, and is kept (see `keeps_rejected`): never deliver it again.

        Raises:
            NotKept: The source's own place never takes this event, such as one too large for it.
                Nothing is settled then: the runner keeps it, and calls `reject` once more with
                `keeps_rejected` False.
        """
