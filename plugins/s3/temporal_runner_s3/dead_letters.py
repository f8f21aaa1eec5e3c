"""The dead letter queue: what can never succeed, each with its reason."""

from __future__ import annotations

import re

from temporal_runner_s3.client import Queue
from temporal_runner_s3.lease import Part

_LONGEST_REASON = 1000
_NOT_IN_ATTRIBUTES = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What SQS refuses in an attribute."""


class DeadLetters:
    """Puts records into an SQS queue of their own."""

    def __init__(self, queue: Queue, url: str, listener: str) -> None:
        """Send nothing yet.

        Args:
            queue: The queue that the records came from.
            url: The queue that they go to.
            listener: The listener's name.
        """
        self._queue = queue
        self._url = url
        self._listener = listener

    async def keep(self, part: Part, reason: str) -> None:
        """Keep a record, as it came, with why and from where.

        Raises:
            TransientError: The dead letter queue did not take it.
        """
        message, event = part.lease.message, part.record.event
        attributes = {
            "reason": _writable(reason[:_LONGEST_REASON]) or "unknown",
            "listener": self._listener,
            "source_queue": self._queue.url,
            "message_id": message.id,
        }
        if event is not None:
            attributes["event_id"] = _writable(event.id)
        await self._queue.send(
            self._url,
            part.record.body,
            attributes,
            unique=f"{message.id}-{part.index}",
            group=message.group or "dead",
        )


def _writable(text: str) -> str:
    return _NOT_IN_ATTRIBUTES.sub("\ufffd", text)
