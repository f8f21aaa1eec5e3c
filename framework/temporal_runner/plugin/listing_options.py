"""What every listing has, whatever it lists: its options, and versions of objects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from temporal_runner.values.durations import Duration, PositiveDuration
from temporal_runner.values.options import Options


class ListingOptions(Options):
    """The options of a listing, for a source's own to go on from."""

    prefix: str = ""
    """Only objects whose names begin with it; for mode: list."""
    poll_interval: PositiveDuration = timedelta(seconds=30)
    """From the start of one listing to that of the next; for mode: list."""
    min_age: Duration = timedelta()
    """Leave objects alone that were written this shortly ago: for writers that come back to an
    object, each write of which is a version of its own; for mode: list."""
    max_age: PositiveDuration | None = None
    """Leave objects alone that were last written longer ago. Without `state_file` keep it shorter
    than the namespace's retention: a runner that starts anew lists them all again, and Temporal
    knows what it did only for so long; for mode: list."""
    state_file: Annotated[str, Field(min_length=1)] | None = None
    """An SQLite file that remembers across restarts which versions were delivered; one for each
    listener; made where it is missing; for mode: list."""
    existing: Literal["deliver", "skip"] = "deliver"
    """Whether objects that are there at the first listing of all are events; for mode: list."""

    @model_validator(mode="after")
    def _skips_once(self) -> Self:
        if self.existing == "skip" and self.state_file is None:
            raise ValueError(
                "existing: skip needs a state_file: without one each start would skip what came"
                " while the runner was away"
            )
        return self


@dataclass(frozen=True, slots=True)
class ListedObject:
    """A version of an object, as a listing has it. Subclass it for what else an event tells.

    Attributes:
        key: The object's name.
        etag: What tells this version from others of the key, without quotes; empty where the store
            has none.
        modified: When it was last written; None where the store does not say.
        size: Its bytes, where the store says.
    """

    key: str
    etag: str
    modified: datetime | None
    size: int | None = None

    @property
    def token(self) -> str:
        """What tells this version: the etag, or where there is none the size and the time."""
        return self.etag or f"{self.size}-{self.modified.isoformat() if self.modified else ''}"

    @property
    def version(self) -> tuple[str, str]:
        """The key and what tells this version from others of it."""
        return self.key, self.token

    @property
    def former_version(self) -> tuple[str, str]:
        """How an older version of the source told it, whose state file may be there."""
        return self.version
