"""The dead letter queue: what can never succeed, each with its reason."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from temporal_runner.plugin import NotKept
from temporal_runner_azure.client import Queue, QueueMessage
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.errors import MessageTooLarge
from temporal_runner_azure.messages import written

_LONGEST_REASON = 1000
"""Characters of it where the letter would be too long otherwise."""


class DeadLetters:
    """Puts events into a Storage Queue of their own, which is made where it is missing."""

    def __init__(self, options: AzureOptions) -> None:
        """Send nothing yet."""
        self._queue = Queue(options, options.dead_letters)

    async def keep(self, body: Any, reason: str, message: QueueMessage | None = None) -> None:
        """Keep an event, as it came, with why and from which message.

        Raises:
            NotKept: It is too large for the dead letter queue, in any form.
            TransientError: The dead letter queue did not take it.
        """
        about: dict[str, Any] = {"reason": reason}
        if message is not None:
            about["message_id"] = message.id
            about["deliveries"] = message.receives
            about["inserted_on"] = message.inserted_on.isoformat() if message.inserted_on else None
        about["rejected_on"] = datetime.now(UTC).isoformat(timespec="seconds")
        async with self._queue.in_use() as queue:
            for longest in (None, _LONGEST_REASON):
                about["reason"] = reason[:longest]
                with suppress(MessageTooLarge):
                    await queue.send(written({**about, "body": body}))
                    return
            try:
                # The body alone may be as long as a message: it goes first, by itself.
                whole = await queue.send(message.body if message else written(body))
                await queue.send(written({**about, "body": None, "body_message": whole}))
            except MessageTooLarge as error:
                raise NotKept(f"{error}; it goes to the runner's own dead letters") from None

    async def close(self) -> None:
        """Close its connections; what is kept later takes connections of its own."""
        await self._queue.close()
