"""mode: list. Lists a container again and again, where there is no Event Grid.

Several runners find the same blobs and make the same events of them, so that their workflows have
the same IDs.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from temporal_runner.plugin import Event, ListingSource, SourceContext
from temporal_runner_azure.client import Container
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.dead_letters import DeadLetters
from temporal_runner_azure.events import BLOB_CREATED, blob_address, blob_data, blob_event_id
from temporal_runner_azure.pages import Listed


class ListSource(ListingSource[Listed]):
    """Lists one container, or one prefix of it, again and again."""

    def __init__(self, options: AzureOptions, context: SourceContext) -> None:
        super().__init__(options, context)
        assert options.container is not None
        self._options = options
        self._container = Container(options, options.container)
        self._dead_letters = DeadLetters(options) if options.dead_letters else None
        self.keeps_rejected = self._dead_letters is not None

    def describe(self) -> str:
        """The container and the prefix, and how often it is listed."""
        options = self._options
        where = f"{options.account}/{options.container}" if options.account else options.container
        every = options.poll_interval.total_seconds()
        return f"Azure container {where}/{options.prefix}* listed every {every:g}s"

    async def connect(self) -> None:
        """Open the client and the memory, and list once, which proves that the container is there.

        Raises:
            PermanentError: The `state_file` cannot be used.
        """
        await self._container.open()
        await self.try_listing()
        await self.open_memory(self._container.url)

    async def close(self) -> None:
        """Close the client; what was delivered is still remembered when it is settled."""
        await self._container.close()
        if self._dead_letters is not None:
            await self._dead_letters.close()
        await self.close_memory()

    async def page(self, continued: str | None) -> tuple[Sequence[Listed], str | None]:
        """A page of the container, without folders."""
        page, continued = await self._container.page(continued)
        return [blob for blob in page if not blob.is_folder], continued

    def event(self, found: Listed) -> Event:
        """The event that Event Grid would tell of the blob."""
        url = f"{self._container.url}/{quote(found.key)}"
        address = blob_address(url)
        return Event(
            id=blob_event_id(found.key, found.token),
            source=address.container_url,
            type=BLOB_CREATED,
            subject=found.key,
            time=found.modified,
            datacontenttype="application/json",
            data={
                "api": "ListBlobs",
                "eTag": found.etag,
                "contentType": found.content_type,
                "contentLength": found.size,
                "blobType": found.kind,
                "url": url,
                **blob_data(address),
            },
        )

    async def keep_rejected(self, event: Event, reason: str) -> None:
        """The event goes to the dead letter queue, if there is one."""
        if self._dead_letters is not None:
            await self._dead_letters.keep(event.to_dict(), reason)
