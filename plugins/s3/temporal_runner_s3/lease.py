"""A received message while it is ours, and its parts: one for each record."""

from __future__ import annotations

from dataclasses import dataclass, field

from temporal_runner_s3.client import QueueMessage
from temporal_runner_s3.messages import Record


@dataclass(slots=True, eq=False)
class Lease:
    """A received message that is neither deleted nor put back yet.

    Attributes:
        message: As SQS gave it, with its newest receipt.
        since: When it was received, monotonic seconds.
        unsettled: The indexes of its records that are not settled.
        finished: Those that never need to be delivered again.
        delays: For each record that failed the seconds after which to try again.
        ending: It is being deleted or put back: not to be extended any more.
    """

    message: QueueMessage
    since: float
    unsettled: set[int]
    finished: set[int]
    delays: list[float] = field(default_factory=list)
    ending: bool = False


@dataclass(slots=True, eq=False)
class Part:
    """A record of a leased message."""

    lease: Lease
    index: int
    record: Record

    @property
    def group(self) -> str | None:
        """The message group, in a FIFO queue."""
        return self.lease.message.group
