"""mode: list. Polls a prefix of a bucket, for stores that send no notifications.

An object is delivered once for each (key, etag). What is settled is remembered; what fails is found
again by the next listing. Several runners find the same objects and make the same events of them,
so that their workflows have the same IDs.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime

from temporal_runner.plugin import Accepted, Delivery, PullSource, SourceContext
from temporal_runner_s3.client import Bucket, Listed
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.memory import Memory, SharedMemory, Version
from temporal_runner_s3.messages import ObjectEvent, is_folder_marker

EVENT_TYPE = "ObjectCreated:Listed"
"""A listing does not tell by which request an object was made."""


class ListDelivery(Delivery):
    """An object that the listing found."""

    def __init__(self, source: ListSource, found: Listed) -> None:
        record = ObjectEvent(
            bucket=source.bucket,
            key=found.key,
            type=EVENT_TYPE,
            time=found.modified,
            size=found.size,
            etag=found.etag,
        )
        super().__init__(record.event(token=found.etag))
        self.ordering_key = found.key
        self.version: Version = (found.key, found.etag)
        self._source = source

    async def ack(self, accepted: Accepted) -> None:
        """Remember it."""
        await self._source.settle(self, remember=True)

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """The next listing finds it again."""
        await self._source.settle(self, remember=False)

    async def reject(self, reason: str) -> None:
        """Remember it with the reason; the object itself stays where it is."""
        await self._source.settle(self, remember=True, rejected=reason)


class ListSource(PullSource):
    """Lists one prefix again and again.

    Attributes:
        bucket: The bucket's name.
    """

    def __init__(self, options: S3Options, context: SourceContext) -> None:
        assert options.bucket is not None
        self.bucket = options.bucket
        self._options = options
        self._context = context
        self._objects = Bucket(options)
        self._shared: SharedMemory | None = None
        self._found: deque[Listed] = deque()
        self._in_flight: set[Version] = set()
        self._closed = False
        self._continued: str | None = None
        self._begun = self._next_listing = 0.0
        self._skipping = False

    def describe(self) -> str:
        """The prefix, and how often it is listed."""
        every = self._options.poll_interval.total_seconds()
        return f"s3://{self.bucket}/{self._options.prefix} listed every {every:g}s"

    async def connect(self) -> None:
        """Open the client and the memory, and list once, which proves that the bucket is there."""
        options = self._options
        await self._objects.open()
        await self._objects.page(None)
        self._shared = SharedMemory(
            options.state_file, self._context.listener, self.bucket, options.prefix
        )
        self._skipping = options.existing == "skip" and not self._memory.listed_before
        if options.state_file is None:
            self._context.log.warning(
                "without a state_file what was delivered is forgotten when the runner stops: each"
                " object is offered again at the next start, and started again where its workflow"
                " is older than the namespace's retention"
            )

    @property
    def _memory(self) -> Memory:
        assert self._shared is not None
        return self._shared.memory

    async def receive(self) -> Sequence[Delivery]:
        """The next objects of the listing that were not delivered, as many as there is room for."""
        if not self._found:
            await self._list()
        deliveries: list[Delivery] = []
        while self._found and len(deliveries) < self._context.max_in_flight:
            delivery = ListDelivery(self, self._found.popleft())
            self._in_flight.add(delivery.version)
            deliveries.append(delivery)
        return deliveries

    async def _list(self) -> None:
        """One page; of a new listing when it is due. Cancelled, it begins the page anew."""
        if self._continued is None:
            await asyncio.sleep(max(0.0, self._next_listing - time.monotonic()))
            self._begun = time.monotonic()
        page, continued = await self._objects.page(self._continued)
        objects = {(one.key, one.etag): one for one in page if self._concerns(one)}
        # What is in flight now may be settled, and remembered, before the answers are here.
        in_flight = set(self._in_flight)
        new = await asyncio.to_thread(self._memory.new, list(objects))
        if self._skipping:
            await asyncio.to_thread(self._memory.add, new)
            new = []
        if continued is None:
            await asyncio.to_thread(self._memory.end_of_listing)
            self._skipping = False
            self._next_listing = self._begun + self._options.poll_interval.total_seconds()
        self._found.extend(objects[one] for one in new if one not in in_flight)
        self._continued = continued

    def _concerns(self, found: Listed) -> bool:
        oldest = self._options.max_age
        too_old = oldest is not None and found.modified < datetime.now(UTC) - oldest
        return not too_old and not is_folder_marker(found.key, found.size)

    async def settle(
        self, delivery: ListDelivery, *, remember: bool, rejected: str | None = None
    ) -> None:
        """An object is done with, or is to be found again."""
        try:
            if remember:
                await asyncio.to_thread(self._memory.add, [delivery.version], rejected)
        finally:
            self._in_flight.discard(delivery.version)
            self._release()

    async def close(self) -> None:
        """Close the client; what was delivered is still remembered when it is settled."""
        self._closed = True
        await self._objects.close()
        self._release()

    def _release(self) -> None:
        if self._closed and not self._in_flight and self._shared is not None:
            self._shared.release()
            self._shared = None
