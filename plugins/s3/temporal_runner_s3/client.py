"""AWS through aiobotocore: the calls that the source makes of SQS and S3."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from aiobotocore.config import AioConfig  # type: ignore[import-untyped]

from temporal_runner.plugin import ListedObject, TransientError
from temporal_runner_s3.batching import Failure
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.errors import LOOK_AT_ENDPOINT, explained, no_html
from temporal_runner_s3.identity import sign_in
from temporal_runner_s3.queue_urls import queue_place

for _name in ("botocore", "aiobotocore"):
    # Their debug lines hold whole requests and answers, credentials included.
    logging.getLogger(_name).setLevel(logging.INFO)

_log = logging.getLogger(__name__)
_signed_in: set[S3Options] = set()
"""Whose keys have been right in this process."""
MOST_MESSAGES = 10
"""SQS's limit of one receive."""
PAGE = 1000
"""How many objects are asked for at a time; S3's limit."""
_LONGEST_WAIT = 20
"""Seconds; no receive waits longer."""


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A received message.

    Attributes:
        id: Its ID in the queue, the same at each receive.
        receipt: The receipt handle, which this receive's deletes and extensions are made with.
        body: Its text.
        receives: How often it was received, this time included.
        group: Its message group, in a FIFO queue; elsewhere a group has nothing to do with order.
    """

    id: str
    receipt: str
    body: str
    receives: int
    group: str | None


@dataclass(frozen=True, slots=True)
class QueueAttributes:
    """What a queue is set to.

    Attributes:
        visibility_timeout: Seconds.
        has_redrive_policy: SQS itself moves what was received too often to a dead letter queue.
    """

    visibility_timeout: int
    has_redrive_policy: bool


@dataclass(frozen=True, slots=True)
class Listed(ListedObject):
    """An object in a listing. The etag alone does not tell the same bytes written once more."""

    @property
    def token(self) -> str:
        """The etag and the time, or the size where there is no etag."""
        time = self.modified.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%f") if self.modified else ""
        return f"{self.etag or self.size}-{time}"

    @property
    def former_version(self) -> tuple[str, str]:
        """By the etag alone."""
        return self.key, self.etag


class _Service:
    """A client of one AWS service, opened and closed."""

    name: str

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._resources = AsyncExitStack()
        self._client: Any = None

    async def open(self) -> None:
        """Make the client; calls nothing yet but, for a role, what its credentials need.

        Raises:
            PermanentError: The options cannot work.
            TransientError: The credentials are not to be had now.
        """
        with explained(f"opening {self.name}"):
            session = await sign_in(self._options, self._region())
            config = AioConfig(
                connect_timeout=5,
                read_timeout=_LONGEST_WAIT + 5,
                max_pool_connections=20,
                # No more, so that a service that stays silent is soon seen as not ready.
                retries={"mode": "standard", "total_max_attempts": 2},
            )
            self._client = await self._resources.enter_async_context(
                session.create_client(
                    self.name,
                    region_name=self._region(),
                    endpoint_url=self._endpoint(),
                    config=config,
                )
            )
            # A 200 of whoever is in between: it would pass for an empty queue or bucket.
            self._client.meta.events.register(f"after-call.{self.name}", no_html)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """For a call: keys that were right once may be right again."""
        with explained(what, refusal_is_final=self._options not in _signed_in):
            yield
        _signed_in.add(self._options)

    async def close(self) -> None:
        """Close its connections."""
        await self._resources.aclose()

    def _region(self) -> str | None:
        return self._options.region

    def _endpoint(self) -> str | None:
        return self._options.endpoint_url


class Queue(_Service):
    """The SQS queue of the options."""

    name = "sqs"

    def __init__(self, options: S3Options) -> None:
        super().__init__(options)
        assert options.queue_url is not None
        self.url = options.queue_url
        self.fifo = self.url.endswith(".fifo")

    def _region(self) -> str | None:
        return self._options.region or queue_place(self.url)[0]

    def _endpoint(self) -> str | None:
        """As given, or by the environment, or the host that the queue's URL names."""
        by_environment = {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"} & os.environ.keys()
        given = self._options.endpoint_url
        return given if given or by_environment else queue_place(self.url)[1]

    async def attributes(self) -> QueueAttributes:
        """Ask the queue for its settings; fails where it is not there."""
        names = ["VisibilityTimeout", "RedrivePolicy"]
        with self._explained(f"the queue {self.url}"):
            answer = await self._client.get_queue_attributes(
                QueueUrl=self.url, AttributeNames=names
            )
        attributes = answer.get("Attributes", {})
        return QueueAttributes(
            visibility_timeout=int(attributes.get("VisibilityTimeout", 30)),
            has_redrive_policy=bool(attributes.get("RedrivePolicy")),
        )

    async def receive(self, most: int, wait: int, visibility: int) -> list[QueueMessage]:
        """Wait for messages.

        Args:
            most: How many at most, up to 10.
            wait: Seconds.
            visibility: Seconds for which they are kept from other receivers.
        """
        with self._explained(f"the queue {self.url}"):
            answer = await self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=most,
                WaitTimeSeconds=wait,
                VisibilityTimeout=visibility,
                # The older name of MessageSystemAttributeNames, which every compatible server has.
                AttributeNames=["ApproximateReceiveCount", "MessageGroupId"],
            )
        return [self._message(message) for message in answer.get("Messages", [])]

    async def delete(self, receipts: Sequence[str]) -> list[Failure | None]:
        """Delete up to 10 messages; for each its failure or None."""
        entries = [{"Id": str(i), "ReceiptHandle": one} for i, one in enumerate(receipts)]
        with self._explained(f"the queue {self.url}"):
            answer = await self._client.delete_message_batch(QueueUrl=self.url, Entries=entries)
        return _failures(answer, len(entries))

    async def change_visibility(self, changes: Sequence[tuple[str, int]]) -> list[Failure | None]:
        """Hide up to 10 messages, each (receipt, seconds from now); for each its failure."""
        entries = [
            {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
            for i, (receipt, seconds) in enumerate(changes)
        ]
        with self._explained(f"the queue {self.url}"):
            answer = await self._client.change_message_visibility_batch(
                QueueUrl=self.url, Entries=entries
            )
        return _failures(answer, len(entries))

    async def send(
        self, url: str, body: str, attributes: Mapping[str, str], *, unique: str, group: str
    ) -> None:
        """Put a message into another queue.

        Args:
            url: That queue.
            body: The message.
            attributes: Its attributes, all of them text.
            unique: What a FIFO queue recognises the same message by.
            group: Its group in a FIFO queue.
        """
        fifo = {"MessageGroupId": group, "MessageDeduplicationId": unique}
        with explained(f"the dead letter queue {url}"):
            await self._client.send_message(
                QueueUrl=url,
                MessageBody=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in attributes.items()
                },
                **(fifo if url.endswith(".fifo") else {}),
            )

    def _message(self, message: Mapping[str, Any]) -> QueueMessage:
        attributes = message.get("Attributes", {})
        return QueueMessage(
            id=message["MessageId"],
            receipt=message["ReceiptHandle"],
            body=message["Body"],
            receives=int(attributes.get("ApproximateReceiveCount", 1)),
            group=attributes.get("MessageGroupId") if self.fifo else None,
        )


class Bucket(_Service):
    """The bucket of the options."""

    name = "s3"

    def __init__(self, options: S3Options) -> None:
        super().__init__(options)
        assert options.bucket is not None
        self.bucket = options.bucket

    async def page(self, continued: str | None) -> tuple[list[Listed], str | None]:
        """A page of the listing, and what continues it; None at its end.

        Raises:
            TransientError: It is no listing, or one that does not say how it goes on.
        """
        more = {"ContinuationToken": continued} if continued else {}
        what = f"the bucket {self.bucket}"
        with self._explained(what):
            answer = await self._client.list_objects_v2(
                Bucket=self.bucket, Prefix=self._options.prefix, MaxKeys=PAGE, **more
            )
        if answer.keys() == {"ResponseMetadata"}:
            raise TransientError(f"{what}: the answer has nothing of a listing; {LOOK_AT_ENDPOINT}")
        entries = answer.get("Contents", [])
        listed = [_listed(one) for one in entries if one.get("Key")]
        if len(listed) < len(entries):
            _log.warning("%s: %d entries without a key", what, len(entries) - len(listed))
        following: str | None = answer.get("NextContinuationToken") or None
        if answer.get("IsTruncated") and following is None:
            raise TransientError(
                f"{what}: the server says that there is more than these {len(listed)} objects, but"
                " gives no token to go on with (NextContinuationToken): its listing cannot be used"
            )
        return listed, following if answer.get("IsTruncated", True) else None


def _listed(one: Mapping[str, Any]) -> Listed:
    etag = one.get("ETag", "").strip('"')
    return Listed(one["Key"], etag, one.get("LastModified"), one.get("Size"))


def _failures(answer: Mapping[str, Any], count: int) -> list[Failure | None]:
    failures: list[Failure | None] = [None] * count
    for failed in answer.get("Failed", []):
        reason = f"{failed.get('Code')}: {failed.get('Message', '')}"
        failures[int(failed["Id"])] = Failure(reason, bool(failed.get("SenderFault")))
    return failures
