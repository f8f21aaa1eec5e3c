"""The one module that speaks to Azure Storage: an account's queue, poison queue and container.

How to sign in with Entra ID is identity.py's. Everything else sees messages, blobs and the errors
of `temporal_runner.plugin`. The SDK's own retries are off where the runner retries already, and
short elsewhere.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.storage.blob.aio import ContainerClient
from azure.storage.queue.aio import QueueClient

from temporal_runner.plugin import PermanentError, TransientError
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.identity import SharedToken, shared_token
from temporal_runner_azure.records import (
    ListedBlob,
    MessageGone,
    MessageTooLarge,
    QueueMessage,
)

# At INFO the SDK logs every request.
logging.getLogger("azure").setLevel(logging.WARNING)

MOST_MESSAGES = 32
"""Azure's limit of one receive."""
PAGE = 5000
"""How many blobs are asked for at a time; Azure's limit."""
_FOR_EVER = -1
"""A message's time to live; a message that names none is dropped after seven days."""
_ONCE: dict[str, Any] = {"retry_total": 0}
_signed_in: set[AzureOptions] = set()
"""Whose secret has been right in this process: should it be refused later, that may pass."""
_RETRIES: dict[str, Any] = {
    "retry_total": 2,
    "initial_backoff": 0.2,
    "increment_base": 2,
    "random_jitter_range": 0,
}


class AzureClient:
    """The services of one account that a listener uses, with one credential for all of them."""

    def __init__(self, options: AzureOptions) -> None:
        self._options = options
        self._token: SharedToken | None = None
        self._queue: QueueClient | None = None
        self._poison: QueueClient | None = None
        self._container: ContainerClient | None = None
        self._closed = False

    async def open(self) -> None:
        """Make the clients, and ask once whether the queue or the container is there.

        Raises:
            TransientError: Not to be reached, or not there yet.
            PermanentError: A key, a signature or a connection string is wrong.
        """
        try:
            self._make_clients()
        except ValueError as error:  # how the SDK refuses a connection string
            raise PermanentError(
                f"the connection to Azure cannot be made: {error}",
                next_step="copy the connection string anew from the account's access keys",
            ) from None
        final = self._options.signs_in_with_secret and self._options not in _signed_in
        with _translated(refusal_is_final=final):
            if self._queue is not None:
                await self._queue.get_queue_properties(**_ONCE)
            if self._container is not None:
                await anext(self._container.list_blobs(results_per_page=1, **_ONCE), None)
        _signed_in.add(self._options)

    async def close(self) -> None:
        """Close the connections; the credential when nobody uses it any more."""
        self._closed = True
        for client in (self._queue, self._poison, self._container):
            if client is not None:
                await client.close()
        if self._token is not None:
            token, self._token = self._token, None
            await token.release()

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[AzureClient]:
        """For a call that may come after `close`: with connections of its own then."""
        if not self._closed:
            yield self
            return
        anew = AzureClient(self._options)
        anew._make_clients()
        try:
            yield anew
        finally:
            await anew.close()

    @property
    def container_url(self) -> str:
        """The container's URL, without what it is signed in with."""
        assert self._container is not None
        return str(self._container.url).partition("?")[0]

    # The queue.

    async def receive(self, most: int, visibility: float) -> list[QueueMessage]:
        """Up to 32 messages, at once: Storage Queues do not wait for one.

        Args:
            most: How many at most, where that is fewer.
            visibility: Seconds for which nobody else sees them.
        """
        assert self._queue is not None
        with _translated():
            pages = self._queue.receive_messages(
                messages_per_page=min(most, MOST_MESSAGES),
                visibility_timeout=_whole(visibility),
                **_ONCE,
            ).by_page()
            page = await anext(pages, None)
            return [] if page is None else [_message(item) async for item in page]

    async def update(
        self, message_id: str, receipt: str, visibility: float, text: str | None = None
    ) -> str:
        """Set for how long a message stays invisible, and return its new pop receipt.

        Args:
            message_id: The message.
            receipt: Its last pop receipt.
            visibility: Seconds from now; 0 makes it visible at once.
            text: A new text for it.

        Raises:
            MessageGone: It is not ours any more.
        """
        assert self._queue is not None
        with _translated():
            updated = await self._queue.update_message(
                message_id, receipt, text, visibility_timeout=_whole(visibility)
            )
        return str(updated.pop_receipt)

    async def delete(self, message_id: str, receipt: str) -> None:
        """Delete a message.

        Raises:
            MessageGone: It is not ours any more.
        """
        assert self._queue is not None
        with _translated():
            await self._queue.delete_message(message_id, receipt)

    async def poison(self, text: str) -> str:
        """Write to the poison queue, which is created when it is missing, and return the ID.

        Raises:
            MessageTooLarge: The text is too long for a message.
        """
        assert self._poison is not None
        with _translated():
            try:
                sent = await self._poison.send_message(text, time_to_live=_FOR_EVER)
            except ResourceNotFoundError:
                await self._poison.create_queue()
                sent = await self._poison.send_message(text, time_to_live=_FOR_EVER)
        return str(sent.id)

    # The container.

    async def list_blobs(self, prefix: str) -> AsyncGenerator[ListedBlob, None]:
        """The blobs whose names begin with a prefix, in the order of their names."""
        assert self._container is not None
        with _translated():
            # The metadata says which entries are Data Lake's folders.
            blobs = self._container.list_blobs(
                name_starts_with=prefix, include=["metadata"], results_per_page=PAGE, **_ONCE
            )
            async for blob in blobs:
                yield ListedBlob(
                    name=blob.name,
                    etag=blob.etag,
                    modified=blob.last_modified,
                    size=blob.size,
                    kind=getattr(blob.blob_type, "value", str(blob.blob_type)),
                    content_type=blob.content_settings.content_type,
                    is_folder=(blob.metadata or {}).get("hdi_isfolder", "").lower() == "true"
                    or (blob.name.endswith("/") and not blob.size),
                )

    # Clients and how they sign in.

    def _make_clients(self) -> None:
        options = self._options
        if options.queue:
            self._queue = self._queue_client(options.queue)
        if options.poison:
            self._poison = self._queue_client(options.poison)
        if options.container:
            self._container = self._container_client(options.container)

    def _queue_client(self, name: str) -> QueueClient:
        options = self._options
        if options.connection_string is not None:
            return QueueClient.from_connection_string(
                options.connection_string.reveal(), name, **_RETRIES
            )
        return QueueClient(self._endpoint("queue"), name, credential=self._sign_in(), **_RETRIES)

    def _container_client(self, name: str) -> ContainerClient:
        options = self._options
        if options.connection_string is not None:
            return ContainerClient.from_connection_string(
                options.connection_string.reveal(), name, **_RETRIES
            )
        return ContainerClient(self._endpoint("blob"), name, credential=self._sign_in(), **_RETRIES)

    def _endpoint(self, service: str) -> str:
        return f"https://{self._options.account}.{service}.{self._options.endpoint_suffix}"

    def _sign_in(self) -> AzureSasCredential | AzureNamedKeyCredential | SharedToken:
        options = self._options
        if options.sas is not None:
            return AzureSasCredential(options.sas.reveal())
        if options.account_key is not None:
            assert options.account is not None
            return AzureNamedKeyCredential(options.account, options.account_key.reveal())
        if self._token is None:
            self._token = shared_token(options)
        return self._token


@contextmanager
def _translated(refusal_is_final: bool = False) -> Iterator[None]:
    """The SDK's errors in the runner's words.

    Args:
        refusal_is_final: A refused sign-in stays refused: the config's own secret was wrong.
    """
    try:
        yield
    except HttpResponseError as error:
        raise _of_answer(error, refusal_is_final) from error
    except AzureError as error:
        raise TransientError(_line(error)) from error


def _of_answer(error: HttpResponseError, refusal_is_final: bool) -> Exception:
    code = getattr(error, "error_code", None)
    match getattr(code, "value", code):  # an enumeration's member where the SDK knows it
        case "MessageNotFound" | "PopReceiptMismatch":
            return MessageGone(_line(error))
        case "RequestBodyTooLarge" | "MessageTooLarge":
            return MessageTooLarge(_line(error))
        case "QueueNotFound" | "ContainerNotFound":
            return TransientError(f"{_line(error)} Create it, or mend its name in the config.")
    if error.status_code == 413:
        return MessageTooLarge(_line(error))
    refused = isinstance(error, ClientAuthenticationError) or error.status_code in (401, 403)
    if refusal_is_final and refused:
        return PermanentError(
            f"Azure refuses the sign-in: {_line(error)}",
            next_step="look whether the key or the signature is the account's and still valid, and "
            "whether the account's firewall lets this machine in",
        )
    # Entra ID's refusals may pass: a role is effective only minutes after it is assigned.
    after = getattr(error.response, "headers", {}).get("Retry-After", "")
    return TransientError(_line(error), retry_after=float(after) if after.isdecimal() else None)


def _line(error: AzureError) -> str:
    """What happened, as a line.

    Of a service's answer only the first one: what follows is request IDs, and in some cases the
    string to sign.
    """
    lines = (error.message or type(error).__name__).strip().splitlines()
    answered = getattr(error, "response", None) is not None
    return lines[0] if answered else " ".join(line.strip() for line in lines)


def _message(item: Any) -> QueueMessage:
    return QueueMessage(
        item.id, item.pop_receipt, item.content, item.dequeue_count, item.inserted_on
    )


def _whole(seconds: float) -> int:
    """Azure takes whole seconds; a shorter wait than asked for would deliver too early."""
    return math.ceil(seconds)
