"""What the client hands over: messages, blobs, and the two failures that callers tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


class MessageGone(Exception):
    """The message is deleted, or has been handed to somebody else since."""


class MessageTooLarge(Exception):
    """The text is longer than a queue message may be (64 KiB)."""


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A received message.

    Attributes:
        id: Its ID in the queue.
        receipt: The pop receipt: proves that it is ours, until the next receipt.
        text: Its text as the queue has it.
        deliveries: How often it has been received, this time included.
        inserted_on: When it was written.
    """

    id: str
    receipt: str
    text: str
    deliveries: int
    inserted_on: datetime | None


@dataclass(frozen=True, slots=True)
class ListedBlob:
    """A blob as a listing has it.

    Attributes:
        name: Its name.
        etag: The version of its content and metadata.
        modified: When it was last written.
        size: Its bytes.
        kind: `BlockBlob`, `AppendBlob` or `PageBlob`.
        content_type: Its media type.
        is_folder: It stands for a folder, of Data Lake or of a tool that makes markers.
    """

    name: str
    etag: str
    modified: datetime
    size: int
    kind: str
    content_type: str | None
    is_folder: bool
