"""An S3 listener's options, for both modes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from temporal_runner.plugin import (
    Duration,
    ListingOptions,
    Options,
    PositiveDuration,
    Secret,
    Text,
    Url,
)

_ONLY_QUEUE = (
    "queue_url",
    "visibility_timeout",
    "wait_time",
    "dead_letter_queue_url",
    "max_receives",
    "backoff",
)
_ONLY_LIST = ("bucket", *ListingOptions.model_fields)


def _bucket(name: str) -> str:
    if "://" in name or ("/" in name and not name.startswith("arn:")):
        raise ValueError("give the bucket's name alone; what follows it is `prefix`")
    return name


class AssumeRole(Options):
    """A role that is assumed with the credentials of the standard chain."""

    role_arn: Annotated[str, Field(pattern=r"^arn:[^:]*:iam::\d*:role/\S+$")]
    """The role."""
    session_name: Annotated[str, Field(pattern=r"^[\w+=,.@-]{2,64}$")] = "temporal-runner"
    """The session's name, for the role's trust policy and for CloudTrail."""
    external_id: Secret | None = None
    """The external ID that the role's trust policy asks for."""
    duration: Annotated[Duration, Field(ge=timedelta(minutes=30), le=timedelta(hours=12))] = (
        timedelta(hours=1)
    )
    """How long its credentials hold; they are renewed a quarter of an hour before they end."""
    sts_endpoint_url: Url | None = None
    """Where STS is, where it is not AWS's own."""


class S3Options(ListingOptions):
    """Where objects' events come from, and how they are taken."""

    mode: Literal["queue", "list"] = "queue"
    """queue: S3's notifications from an SQS queue. list: poll a prefix, for stores without."""

    queue_url: Url | None = None
    """The SQS queue; for mode: queue."""
    visibility_timeout: (
        Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(hours=12))] | None
    ) = None
    """How long a message is kept from other receivers unless it is extended, which happens each
    half of it. By default what the queue is set to. A crash delays a message by this much."""
    wait_time: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(seconds=20))] = (
        timedelta(seconds=20)
    )
    """How long one receive waits for messages."""
    dead_letter_queue_url: Url | None = None
    """An SQS queue for what can never succeed, each with its reason as a message attribute.
    Without one the queue's own redrive policy takes them, after as many receives as it says; where
    it has none they are kept in the runner's own `dead_letters`."""
    max_receives: Annotated[int, Field(ge=1)] = 5
    """A message that cannot be parsed goes to the dead letters at its so many-th receive."""
    backoff: Annotated[PositiveDuration, Field(le=timedelta(minutes=15))] = timedelta(seconds=10)
    """How long a message that failed is hidden after its first receive; twice as long after each
    further one, up to 15m."""

    bucket: Annotated[Text, AfterValidator(_bucket)] | None = None
    """The bucket; for mode: list."""
    region: Text | None = None
    """The AWS region; by default that of the queue's URL, else of the standard chain."""
    endpoint_url: Url | None = None
    """Where SQS, or for mode: list S3, is, where it is not AWS's own."""
    profile: Text | None = None
    """A profile of the shared AWS config files."""
    assume_role: AssumeRole | None = None
    """Act as this role."""

    @model_validator(mode="after")
    def _fits_mode(self) -> S3Options:
        other, needed = (
            (_ONLY_LIST, "queue_url") if self.mode == "queue" else (_ONLY_QUEUE, "bucket")
        )
        if getattr(self, needed) is None:
            raise ValueError(f"mode: {self.mode} needs {needed}")
        for name in other:
            if name in self.model_fields_set:
                raise ValueError(f"{name} does not belong to mode: {self.mode}")
        return self


def claims(options: S3Options) -> Iterator[str]:
    """What two listeners of a config cannot share: a queue, a state file."""
    if options.queue_url:
        yield f"the queue {options.queue_url}"
    if options.state_file:
        yield f"the state file {options.state_file}"
