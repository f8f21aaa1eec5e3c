"""A pull source for stores that send no events: lists objects, delivers each version of each once.

Each listing covers all that is there and is compared with a memory of what was delivered, by key
and etag. Not by a watermark of time: an object's time is when its upload began, so that a long
upload appears behind others that are older by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

from temporal_runner.errors import NotKept, TransientError
from temporal_runner.events.event import Accepted, Delivery, Event
from temporal_runner.plugin.listing_options import ListedObject, ListingOptions
from temporal_runner.plugin.sources import PullSource, SourceContext

if TYPE_CHECKING:
    from temporal_runner.storage.listing_memory import ListingMemory


_MOST_EMPTY_PAGES = 1000
"""Pages without an object, one after the other, that are no progress."""

T = TypeVar("T", bound=ListedObject)


class ListDelivery(Delivery, Generic[T]):
    """A version of an object that the listing found."""

    def __init__(self, source: ListingSource[T], found: T) -> None:
        try:
            event = source.event(found)
        except Exception as error:  # one entry that makes no event is no reason to stop the others
            self.unreadable = f"the listing's entry {found.key!r} makes no event: {error}"
            about = {"key": found.key, "version": found.token}
            event = Event(
                id="/".join(found.version), source="urn:listing", type="unreadable", data=about
            )
        super().__init__(event)
        self.ordering_key = found.key
        self.keeps_rejected = source.keeps_rejected
        self.found = found
        self._source = source

    async def ack(self, accepted: Accepted) -> None:
        """Remember it."""
        await self._source.remember(self.found)

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """It comes again in so many seconds; by default with the next listing."""
        await self._source.retry(self.found, retry_after)

    async def reject(self, reason: str) -> None:
        """Remember it with the reason; the object itself stays where it is."""
        await self._source.reject(self, reason)


class ListingSource(PullSource, Generic[T]):
    """Lists again and again. Subclasses list a page, and open and close what that takes.

    Attributes:
        keeps_rejected: `keep_rejected` keeps an event in a place of the source's own.
    """

    keeps_rejected = False

    def __init__(self, options: ListingOptions, context: SourceContext) -> None:
        self._listing = options
        self._context = context
        self._skipping = False
        self._memory: ListingMemory | None = None
        self._found: deque[T] = deque()
        self._in_flight: set[tuple[str, str]] = set()
        self._retries: dict[tuple[str, str], tuple[float, T]] = {}
        self._nacked = asyncio.Event()
        self._continued: str | None = None
        self._tokens: set[str] = set()
        self._last_page: set[tuple[str, str]] = set()
        self._empty_pages = 0
        self._begun = self._next_listing = 0.0
        self._closed = False

    @abstractmethod
    async def page(self, continued: str | None) -> tuple[Sequence[T], str | None]:
        """A page of the listing, and what continues it; None at its end.

        Args:
            continued: What the page before gave; None begins a listing.

        Raises:
            Exception: The connection is lost; the runner closes and connects the source anew.
        """

    @abstractmethod
    def event(self, found: T) -> Event:
        """What a version of an object is delivered as: the same event whoever lists it."""

    async def keep_rejected(self, event: Event, reason: str) -> None:
        """Keep an event that can never succeed; where the source has a place for it."""

    async def open_memory(self, owner: str) -> None:
        """Open what is remembered: for the subclass's `connect`.

        Args:
            owner: What is listed, such as a bucket: owners may share a file.

        Raises:
            PermanentError: The state file cannot be used.
            TransientError: Another process has it.
        """
        # SQLite loads for those alone who list.
        from temporal_runner.storage.listing_memory import ListingMemory

        self._memory = await ListingMemory.open(
            self._listing.state_file, self._context.listener, owner, self._listing.prefix
        )
        self._skipping = self._listing.existing == "skip" and not self._memory.listed_before
        if self._listing.state_file is None:
            self._context.log.warning(
                "without a state_file what was delivered is forgotten when the runner stops: each"
                " object is offered again at the next start, and started again where its workflow"
                " is older than the namespace's retention"
            )

    async def receive(self) -> Sequence[Delivery]:
        """The next objects that were not delivered, as many as the listener takes at a time."""
        while True:
            now = time.monotonic()
            due = [version for version, (at, _) in self._retries.items() if at <= now]
            if due:
                return [self._delivery(self._retries.pop(version)[1]) for version in due]
            if self._found or self._continued or now >= self._next_listing:
                break
            retry = min((at for at, _ in self._retries.values()), default=math.inf)
            self._nacked.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(retry, self._next_listing) - now):
                    await self._nacked.wait()
        if not self._found:
            await self._list()
        most = min(len(self._found), self._context.max_in_flight)
        return [self._delivery(self._found.popleft()) for _ in range(most)]

    def _delivery(self, found: T) -> Delivery:
        self._in_flight.add(found.version)
        return ListDelivery(self, found)

    async def _list(self) -> None:
        """One page; of a new listing when there is none. Cancelled, it begins the page anew."""
        assert self._memory is not None
        if self._continued is None:
            self._begun = time.monotonic()
        page, continued = await self.page(self._continued)
        self._check_progress(page, continued)
        objects = {found.version: found for found in page}
        # What is in flight now may be settled, and remembered, before the answers are here.
        in_flight = self._in_flight | self._retries.keys()
        formerly = {
            one.version: one.former_version
            for one in objects.values()
            if one.former_version != one.version
        }
        new = await self._memory.new(list(objects), formerly)
        if self._skipping:
            # What a listing of another prefix would have found came since then: it is no skipping.
            memory = self._memory
            await memory.add([one for one in new if not memory.was_listed(one[0])])
            new = [one for one in new if memory.was_listed(one[0])]
        if continued is None:
            await self._memory.end_of_listing()
            self._skipping = False
            self._next_listing = self._begun + self._listing.poll_interval.total_seconds()
        self._found.extend(
            objects[version]
            for version in new
            if version not in in_flight and self._has_age(objects[version].modified)
        )
        self._continued = continued
        self._last_page = {found.version for found in page} if continued else set()
        self._tokens = {*self._tokens, continued} if continued else set()
        self._empty_pages = self._empty_pages + 1 if continued and not page else 0

    def _check_progress(self, page: Sequence[T], continued: str | None) -> None:
        """Fail where the server sends the listing round in a circle: it would never end.

        Raises:
            TransientError: It does.
        """
        if continued is None:
            return
        if continued in (self._tokens | {self._continued}):
            what = "continues with a token that it gave before"
        elif page and {found.version for found in page} == self._last_page:
            what = "gives the same page again and again"
        elif not page and self._empty_pages >= _MOST_EMPTY_PAGES:
            what = f"gives nothing but empty pages, {self._empty_pages} by now"
        else:
            return
        raise TransientError(
            f"the listing makes no progress: the server {what}; objects after that are not seen"
        )

    async def try_listing(self) -> None:
        """Ask for two pages, to see that there is a listing that goes on: for `connect`.

        Raises:
            TransientError: The second page would be the second for ever.
        """
        page, continued = await self.page(None)
        if continued is not None:
            self._continued, self._last_page = continued, {found.version for found in page}
            try:
                self._check_progress(*await self.page(continued))
            finally:
                self._continued, self._last_page = None, set()

    def _has_age(self, modified: datetime | None) -> bool:
        if modified is None:
            return True
        age, longest = datetime.now(UTC) - modified, self._listing.max_age
        return age >= self._listing.min_age and (longest is None or age <= longest)

    # Settling.

    async def remember(self, found: T, rejected: str | None = None) -> None:
        """A version needs no further delivery.

        Raises:
            TransientError: It could not be remembered. The next listing finds it again.
        """
        assert self._memory is not None
        try:
            await self._memory.add([found.version], rejected)
        finally:
            self._in_flight.discard(found.version)
            await self._release()

    async def retry(self, found: T, after: float | None) -> None:
        """A version is to be delivered again, in so many seconds or with the next listing."""
        if after is not None and not self._closed:
            self._retries[found.version] = (time.monotonic() + after, found)
            self._nacked.set()
        self._in_flight.discard(found.version)
        await self._release()

    async def reject(self, delivery: ListDelivery[T], reason: str) -> None:
        """A version can never succeed.

        Raises:
            NotKept: The place for it does not take it; the runner is to keep it.
            TransientError: It could not be kept. It comes again.
        """
        try:
            if delivery.keeps_rejected:
                await self.keep_rejected(delivery.event, reason)
        except NotKept:
            raise
        except Exception:
            await self.retry(delivery.found, None)
            raise
        await self.remember(delivery.found, rejected=reason)

    async def close_memory(self) -> None:
        """Close it once what is in flight is remembered too: for the subclass's `close`."""
        self._closed = True
        await self._release()

    async def _release(self) -> None:
        if self._closed and not self._in_flight and self._memory is not None:
            memory, self._memory = self._memory, None
            await memory.close()
