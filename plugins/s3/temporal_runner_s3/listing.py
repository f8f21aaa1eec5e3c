"""mode: list. Polls a prefix of a bucket, for stores that send no notifications.

Several runners find the same objects and make the same events of them, so that their workflows have
the same IDs.
"""

from __future__ import annotations

from collections.abc import Sequence

from temporal_runner.plugin import Event, ListingSource, SourceContext
from temporal_runner_s3.client import Bucket, Listed
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.events import ObjectEvent

EVENT_TYPE = "ObjectCreated:Listed"
"""A listing does not tell by which request an object was made."""


class ListSource(ListingSource[Listed]):
    """Lists one prefix again and again."""

    def __init__(self, options: S3Options, context: SourceContext) -> None:
        super().__init__(options, context)
        self._options = options
        self._bucket = Bucket(options)

    def describe(self) -> str:
        """The prefix, and how often it is listed."""
        every = self._options.poll_interval.total_seconds()
        return f"s3://{self._bucket.bucket}/{self._options.prefix} listed every {every:g}s"

    async def connect(self) -> None:
        """Open the client and the memory, and list once, which proves that the bucket is there."""
        await self._bucket.open()
        await self.try_listing()
        await self.open_memory(self._bucket.bucket)

    async def close(self) -> None:
        """Close the client; what was delivered is still remembered when it is settled."""
        await self._bucket.close()
        await self.close_memory()

    async def page(self, continued: str | None) -> tuple[Sequence[Listed], str | None]:
        """A page of the bucket, without folder markers."""
        page, continued = await self._bucket.page(continued)
        return [one for one in page if not (one.key.endswith("/") and one.size == 0)], continued

    def event(self, found: Listed) -> Event:
        """The object's event, by its etag."""
        record = ObjectEvent(
            bucket=self._bucket.bucket,
            key=found.key,
            type=EVENT_TYPE,
            time=found.modified,
            size=found.size,
            etag=found.etag or None,
        )
        return record.event(token=found.token)
