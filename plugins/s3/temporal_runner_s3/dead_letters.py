"""The dead letter queue: what can never succeed, each with its reason."""

from __future__ import annotations

from temporal_runner.plugin import NotKept
from temporal_runner_s3.client import Queue
from temporal_runner_s3.errors import MessageRefused
from temporal_runner_s3.lease import Part
from temporal_runner_s3.messages import NOT_IN_MESSAGES

_LONGEST_REASON = 1000
_SHORT_REASON = 100
_LONGEST_ID = 1000


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
            NotKept: It is too large for the dead letter queue even with a short reason alone.
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
            attributes["event_id"] = _writable(event.id[:_LONGEST_ID])
        short = {"reason": _writable(reason[:_SHORT_REASON]) or "unknown"}
        for tried in (attributes, short):
            try:
                await self._queue.send(
                    self._url,
                    part.record.body,
                    tried,
                    unique=f"{message.id}-{part.index}",
                    group=message.group or "dead",
                )
                return
            except MessageRefused as error:
                refusal = str(error)
        raise NotKept(f"{refusal}; it goes to the runner's own dead letters")


def _writable(text: str) -> str:
    return NOT_IN_MESSAGES.sub("\ufffd", text)
