"""Azure Storage through its SDK: the calls that the source makes of a queue and a container.

The SDK's own retries are off where the runner retries already, and short elsewhere.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from azure.core.exceptions import (
    DecodeError,
    DeserializationError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob.aio import ContainerClient
from azure.storage.queue.aio import QueueClient

from temporal_runner.plugin import PermanentError, TransientError
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.errors import explained
from temporal_runner_azure.identity import SharedToken, sign_in
from temporal_runner_azure.pages import Listed, read_page

# At INFO the SDK logs every request.
logging.getLogger("azure").setLevel(logging.WARNING)

MOST_MESSAGES = 32
"""Azure's limit of one receive."""
PAGE = 5000
"""How many blobs are asked for at a time; Azure's limit."""
_FOR_EVER = -1
"""A message's time to live; a message that names none is dropped after seven days."""
_UNREADABLE = (DecodeError, DeserializationError, AttributeError, TypeError, ValueError)
"""How the SDK fails at an answer that lacks what it looks for."""
_log = logging.getLogger(__name__)
_ONCE: dict[str, Any] = {"retry_total": 0}
_RETRIES: dict[str, Any] = {
    "retry_total": 2,
    "initial_backoff": 0.2,
    "increment_base": 2,
    "random_jitter_range": 0,
}
_signed_in: set[AzureOptions] = set()
"""Whose secret has been right in this process: should it be refused later, that may pass."""


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A received message.

    Attributes:
        id: Its ID in the queue, the same at each receive.
        receipt: The pop receipt: proves that it is ours, until the next receipt.
        body: Its text as the queue has it.
        receives: How often it was received, this time included.
        inserted_on: When it was written.
    """

    id: str
    receipt: str
    body: str
    receives: int
    inserted_on: datetime | None


S = TypeVar("S", bound="_Service")


class _Service:
    """A client of a queue or a container, opened and closed."""

    service: ClassVar[str]
    sdk: ClassVar[Any]

    def __init__(self, options: AzureOptions, name: str) -> None:
        """Connect to nothing yet.

        Args:
            options: The listener's: the account, and how to sign in.
            name: The queue's or the container's name.
        """
        self._options = options
        self._name = name
        self._made: Any = None
        self._token: SharedToken | None = None
        self._closed = False

    async def open(self) -> None:
        """Ask once whether it is there.

        Raises:
            TransientError: Not to be reached, or not there yet.
            PermanentError: A key, a signature or a connection string is wrong.
        """
        final = self._options.signs_in_with_secret and self._options not in _signed_in
        with self._explained(refusal_is_final=final):
            await self._ask()
        _signed_in.add(self._options)

    async def _ask(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connections; the credential when nobody uses it any more."""
        self._closed = True
        if self._made is not None:
            await self._made.close()
        token, self._token = self._token, None
        if token is not None:
            await token.release()

    @asynccontextmanager
    async def in_use(self: S) -> AsyncIterator[S]:
        """For a call that may come after `close`: with connections of its own then."""
        if not self._closed:
            yield self
            return
        anew = type(self)(self._options, self._name)
        try:
            yield anew
        finally:
            await anew.close()

    @property
    def url(self) -> str:
        """Where it is, without what it is signed in with."""
        return str(self._client.url).partition("?")[0]

    @property
    def _client(self) -> Any:
        if self._made is None:
            try:
                self._made = self._make()
            except ValueError as error:  # how the SDK refuses a connection string
                raise PermanentError(
                    f"the connection to Azure cannot be made: {error}",
                    next_step="copy the connection string anew from the account's access keys",
                ) from None
        return self._made

    def _make(self) -> Any:
        options = self._options
        if options.connection_string is not None:
            settings = options.connection_string.reveal()
            return self.sdk.from_connection_string(settings, self._name, **_RETRIES)
        credential = sign_in(options)
        if isinstance(credential, SharedToken):
            self._token = credential
        url = f"https://{options.account}.{self.service}.{options.endpoint_suffix}"
        return self.sdk(url, self._name, credential=credential, **_RETRIES)

    def _explained(self, *, refusal_is_final: bool = False) -> Any:
        what = "queue" if self.service == "queue" else "container"
        return explained(f"the {what} {self._name}", refusal_is_final=refusal_is_final)


class Queue(_Service):
    """A Storage Queue."""

    service = "queue"
    sdk = QueueClient

    async def _ask(self) -> None:
        await self._client.get_queue_properties(**_ONCE)

    async def receive(self, most: int, visibility: float) -> list[QueueMessage]:
        """Up to 32 messages, at once: Storage Queues do not wait for one.

        Args:
            most: How many at most, where that is fewer.
            visibility: Seconds for which they are kept from other receivers.
        """
        with self._explained():
            pages = self._client.receive_messages(
                messages_per_page=min(most, MOST_MESSAGES),
                visibility_timeout=_whole(visibility),
                **_ONCE,
            ).by_page()
            page = await anext(pages, None)
            return [] if page is None else [_message(item) async for item in page]

    async def change_visibility(
        self, message_id: str, receipt: str, visibility: float, body: str | None = None
    ) -> str:
        """Set for how long a message stays invisible, and return its new pop receipt.

        Args:
            message_id: The message.
            receipt: Its last pop receipt.
            visibility: Seconds from now; 0 makes it visible at once.
            body: A new text for it.

        Raises:
            MessageGone: It is not ours any more.
        """
        with self._explained():
            updated = await self._client.update_message(
                message_id, receipt, body, visibility_timeout=_whole(visibility)
            )
        return str(updated.pop_receipt)

    async def delete(self, message_id: str, receipt: str) -> None:
        """Delete a message.

        Raises:
            MessageGone: It is not ours any more.
        """
        with self._explained():
            await self._client.delete_message(message_id, receipt)

    async def send(self, body: str) -> str:
        """Put a message in that never expires, and return its ID; a missing queue is made.

        Raises:
            MessageTooLarge: The text is too long for a message.
        """
        with self._explained():
            try:
                sent = await self._client.send_message(body, time_to_live=_FOR_EVER)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):  # another call made it meanwhile
                    await self._client.create_queue()
                sent = await self._client.send_message(body, time_to_live=_FOR_EVER)
        return str(sent.id)


class Container(_Service):
    """A container of blobs."""

    service = "blob"
    sdk = ContainerClient

    async def _ask(self) -> None:
        await self.page(None)

    async def page(self, continued: str | None) -> tuple[list[Listed], str | None]:
        """A page of the listing, and what continues it; None at its end.

        Raises:
            TransientError: It is no listing.
        """
        answers: list[bytes] = []
        with self._explained():
            # The metadata says which entries are Data Lake's folders.
            pages = self._client.list_blobs(
                name_starts_with=self._options.prefix,
                include=["metadata"],
                results_per_page=PAGE,
                raw_response_hook=lambda answer: answers.append(answer.http_response.body()),
                **_ONCE,
            ).by_page(continued)
            try:
                await anext(pages, None)
            except _UNREADABLE:
                if not answers:
                    raise
        try:
            listed, following, nameless = read_page(answers[-1])
        except TransientError as error:
            raise TransientError(f"the container {self._name}: {error}") from None
        if nameless:
            _log.warning("the container %s: %d entries without a name", self._name, nameless)
        return listed, following


def _message(item: Any) -> QueueMessage:
    return QueueMessage(
        item.id, item.pop_receipt, item.content, item.dequeue_count, item.inserted_on
    )


def _whole(seconds: float) -> int:
    """Azure takes whole seconds; a shorter wait than asked for would deliver too early."""
    return math.ceil(seconds)
