"""The list source: lists a container again and again, and hands over what it has not seen.

Each listing overlaps the one before wholly: what is done is remembered by name and etag, so a
clock, a late write or a slow listing hides no blob.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from temporal_runner.plugin import (
    Accepted,
    Delivery,
    Event,
    PermanentError,
    PullSource,
    SourceContext,
)
from temporal_runner_azure.client import AzureClient
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.memory import Memory, Version
from temporal_runner_azure.messages import (
    BLOB_CREATED,
    blob_address,
    blob_data,
    blob_event_id,
    plain_etag,
)
from temporal_runner_azure.records import ListedBlob


class ListSource(PullSource):
    """Lists one container, or one prefix of it."""

    def __init__(self, options: AzureOptions, context: SourceContext) -> None:
        self._options = options
        self._log = context.log
        self._listener = context.listener
        self._most = context.max_in_flight
        self._client = AzureClient(options)
        self._memory: Memory | None = None
        self._listing: AsyncGenerator[ListedBlob, None] | None = None
        self._listed: set[str] = set()
        self._next_listing = 0.0
        self._in_flight: set[Version] = set()
        self._again: dict[Version, tuple[float, Event]] = {}
        self._nacked = asyncio.Event()
        self.keeps_rejected = bool(options.poison)

    async def connect(self) -> None:
        """Open the container and the memory.

        Raises:
            PermanentError: The `state_file` cannot be used.
        """
        await self._client.open()
        owner = f"{self._listener} {self._client.container_url}"
        try:
            self._memory = Memory(self._options.state_file, owner)
        except sqlite3.Error as error:
            raise PermanentError(
                f"state_file {self._options.state_file} cannot be used: {error}",
                next_step="give the path of a file that the runner may write, in a folder that is",
            ) from None

    async def close(self) -> None:
        """Close the connection; what is under way still settles, or is listed again."""
        if self._listing is not None:
            await self._listing.aclose()
        await self._client.close()
        if self._memory is not None:
            self._memory.close()

    def describe(self) -> str:
        """The container and the prefix."""
        options = self._options
        where = f"{options.account}/{options.container}" if options.account else options.container
        every = options.poll_interval.total_seconds()
        return f"Azure container {where}/{options.prefix}*, every {every:g}s"

    async def receive(self) -> Sequence[Delivery]:
        """Wait for the next listing, or for a blob that is to be tried again.

        Raises:
            TransientError: Azure cannot be reached, or refuses.
        """
        while True:
            now = time.monotonic()
            due = [version for version, (at, _) in self._again.items() if at <= now]
            if due:
                return [self._delivery(version, self._again.pop(version)[1]) for version in due]
            if self._listing is not None or now >= self._next_listing:
                return await self._list()
            next_try = min((at for at, _ in self._again.values()), default=self._next_listing)
            self._nacked.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(next_try, self._next_listing) - now):
                    await self._nacked.wait()

    async def _list(self) -> list[Delivery]:
        """Go on with the listing, or begin one, until there is no room for more of it."""
        assert self._memory is not None
        if self._options.existing == "skip" and self._memory.is_new:
            await self._skip_what_is_there(self._memory)
        room = max(1, self._most - len(self._in_flight))
        found: list[tuple[Version, Event]] = []
        listing, self._listing = self._listing, None
        if listing is None:
            listing, self._listed = self._client.list_blobs(self._options.prefix), set()
        async for blob in listing:
            self._listed.add(blob.name)
            version = Version(blob.name, plain_etag(blob.etag))
            if self._wants(blob, version):
                found.append((version, self._event(blob)))
            if len(found) == room:
                self._listing = listing
                break
        else:
            self._memory.keep_only(self._listed)
            self._next_listing = time.monotonic() + self._options.poll_interval.total_seconds()
        # Only now they are under way: cancelled before, they are listed again.
        return [self._delivery(version, event) for version, event in found]

    async def _skip_what_is_there(self, memory: Memory) -> None:
        listing = self._client.list_blobs(self._options.prefix)
        there = [Version(blob.name, plain_etag(blob.etag)) async for blob in listing]
        memory.skip_all(there)
        self._log.info("%d blobs were there before the first start: skipped", len(there))

    def _wants(self, blob: ListedBlob, version: Version) -> bool:
        assert self._memory is not None
        if blob.is_folder or version in self._in_flight or version in self._again:
            return False
        age = datetime.now(UTC) - blob.modified
        if age < self._options.min_age:
            return False
        if self._options.max_age is not None and age > self._options.max_age:
            return False
        return not self._memory.knows(version)

    def _delivery(self, version: Version, event: Event) -> Delivery:
        self._in_flight.add(version)
        return ListedDelivery(event, version, self)

    def _event(self, blob: ListedBlob) -> Event:
        url = f"{self._client.container_url}/{quote(blob.name)}"
        address = blob_address(url)
        return Event(
            id=blob_event_id(blob.name, blob.etag),
            source=address.container_url,
            type=BLOB_CREATED,
            subject=blob.name,
            time=blob.modified,
            datacontenttype="application/json",
            data={
                "api": "ListBlobs",
                "eTag": plain_etag(blob.etag),
                "contentType": blob.content_type,
                "contentLength": blob.size,
                "blobType": blob.kind,
                "url": url,
                **blob_data(address),
            },
        )

    # Settling.

    def done(self, version: Version, rejected: str | None = None) -> None:
        """A version needs no further delivery."""
        assert self._memory is not None
        self._in_flight.discard(version)
        self._memory.remember(version, rejected)

    def try_again(self, version: Version, event: Event, retry_after: float | None) -> None:
        """A version is to be delivered again."""
        if retry_after is None:
            retry_after = self._options.poll_interval.total_seconds()
        self._in_flight.discard(version)
        self._again[version] = (time.monotonic() + retry_after, event)
        self._nacked.set()

    async def reject(self, version: Version, event: Event, reason: str) -> None:
        """A version can never succeed: written to the poison queue where there is one."""
        letter = {
            "reason": reason,
            "rejected_on": datetime.now(UTC).isoformat(timespec="seconds"),
            "body": event.to_dict(),
        }
        if self._options.poison:
            async with self._client.in_use() as client:
                await client.poison(json.dumps(letter))
        self.done(version, rejected=reason)


class ListedDelivery(Delivery):
    """One version of a blob."""

    def __init__(self, event: Event, version: Version, source: ListSource) -> None:
        super().__init__(event)
        self.keeps_rejected = source.keeps_rejected
        self._version = version
        self._source = source

    async def ack(self, accepted: Accepted) -> None:
        """The version is remembered."""
        self._source.done(self._version)

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """The version comes again, from memory; after a restart from the listing."""
        self._source.try_again(self._version, self.event, retry_after)

    async def reject(self, reason: str) -> None:
        """The version is remembered with the reason."""
        try:
            await self._source.reject(self._version, self.event, reason)
        except Exception:
            self._source.try_again(self._version, self.event, None)
            raise
