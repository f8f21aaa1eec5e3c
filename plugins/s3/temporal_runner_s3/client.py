"""AWS through aiobotocore: the calls that the source makes, and what their failures mean.

The only module that imports a vendor's SDK.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
from aiobotocore.credentials import (  # type: ignore[import-untyped]
    AioAssumeRoleCredentialFetcher,
    AioDeferredRefreshableCredentials,
)
from aiobotocore.session import AioSession  # type: ignore[import-untyped]
from botocore import exceptions as botocore  # type: ignore[import-untyped]

from temporal_runner.plugin import PermanentError, TransientError
from temporal_runner_s3.batching import Failure
from temporal_runner_s3.config import AssumeRole, S3Options

_LONGEST_WAIT = 20
"""Seconds; no receive waits longer."""
for _name in ("botocore", "aiobotocore"):
    # Their debug lines hold whole requests and answers, credentials included.
    logging.getLogger(_name).setLevel(logging.INFO)

PAGE = 1000
"""Objects in a page of a listing; S3 gives no more."""
_WRONG_KEYS = {
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_NEXT_STEPS = {
    "NoRegionError": "give `region`, or set AWS_DEFAULT_REGION",
    "ProfileNotFound": "give a `profile` of the shared AWS config files",
    "ParamValidationError": "correct the listener's options",
}


@dataclass(frozen=True, slots=True)
class Received:
    """A message as SQS gave it.

    Attributes:
        id: The message's own ID, the same at each receive.
        receipt: What this receive's deletes and extensions are made with.
        body: Its text.
        count: How often it was received, this time included.
        group: Its message group, in a FIFO queue; elsewhere a group has nothing to do with order.
    """

    id: str
    receipt: str
    body: str
    count: int
    group: str | None


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What a queue says of itself.

    Attributes:
        visibility_timeout: Seconds.
        redrives: It has a redrive policy of its own.
    """

    visibility_timeout: int
    redrives: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """An object in a listing."""

    key: str
    etag: str
    size: int
    modified: datetime


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
            session = AioSession(profile=self._options.profile)
            if self._options.assume_role:
                await _assume(session, self._options.assume_role, self._region())
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
                    endpoint_url=self._options.endpoint_url,
                    config=config,
                )
            )

    async def close(self) -> None:
        """Close its connections."""
        await self._resources.aclose()

    def _region(self) -> str | None:
        return self._options.region


class Queue(_Service):
    """The SQS queue of the options."""

    name = "sqs"

    def __init__(self, options: S3Options) -> None:
        super().__init__(options)
        assert options.queue_url is not None
        self.url = options.queue_url
        self.fifo = self.url.endswith(".fifo")

    def _region(self) -> str | None:
        """As given, or of a URL such as https://sqs.eu-west-1.amazonaws.com/1234/uploads."""
        told = re.match(r"https://sqs(?:-fips)?\.([a-z0-9-]+)\.(amazonaws|api\.aws)", self.url)
        return self._options.region or (told and told[1]) or None

    async def facts(self) -> QueueFacts:
        """Ask the queue for its settings; fails where it is not there."""
        names = ["VisibilityTimeout", "RedrivePolicy"]
        with explained(f"the queue {self.url}"):
            answer = await self._client.get_queue_attributes(
                QueueUrl=self.url, AttributeNames=names
            )
        attributes = answer.get("Attributes", {})
        return QueueFacts(
            visibility_timeout=int(attributes.get("VisibilityTimeout", 30)),
            redrives=bool(attributes.get("RedrivePolicy")),
        )

    async def receive(self, most: int, wait: int, visibility: int) -> list[Received]:
        """Wait for messages.

        Args:
            most: How many at a time, up to 10.
            wait: Seconds.
            visibility: Seconds for which they are kept from other receivers.
        """
        with explained(f"the queue {self.url}"):
            answer = await self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=most,
                WaitTimeSeconds=wait,
                VisibilityTimeout=visibility,
                # The older name of MessageSystemAttributeNames, which every compatible server has.
                AttributeNames=["ApproximateReceiveCount", "MessageGroupId"],
            )
        return [self._received(message) for message in answer.get("Messages", [])]

    async def delete(self, receipts: Sequence[str]) -> list[Failure | None]:
        """Delete up to 10 messages; for each its failure or None."""
        entries = [{"Id": str(i), "ReceiptHandle": one} for i, one in enumerate(receipts)]
        with explained(f"the queue {self.url}"):
            answer = await self._client.delete_message_batch(QueueUrl=self.url, Entries=entries)
        return _failures(answer, len(entries))

    async def change_visibility(self, changes: Sequence[tuple[str, int]]) -> list[Failure | None]:
        """Hide up to 10 messages, each (receipt, seconds from now); for each its failure."""
        entries = [
            {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
            for i, (receipt, seconds) in enumerate(changes)
        ]
        with explained(f"the queue {self.url}"):
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

    def _received(self, message: Mapping[str, Any]) -> Received:
        attributes = message.get("Attributes", {})
        return Received(
            id=message["MessageId"],
            receipt=message["ReceiptHandle"],
            body=message["Body"],
            count=int(attributes.get("ApproximateReceiveCount", 1)),
            group=attributes.get("MessageGroupId") if self.fifo else None,
        )


class Bucket(_Service):
    """The bucket of the options."""

    name = "s3"

    async def page(self, continued: str | None) -> tuple[list[Listed], str | None]:
        """A page of the listing, and what continues it; None at its end."""
        options = self._options
        more = {"ContinuationToken": continued} if continued else {}
        with explained(f"the bucket {options.bucket}"):
            answer = await self._client.list_objects_v2(
                Bucket=options.bucket, Prefix=options.prefix, MaxKeys=PAGE, **more
            )
        listed = [
            Listed(one["Key"], one.get("ETag", "").strip('"'), one["Size"], one["LastModified"])
            for one in answer.get("Contents", [])
        ]
        return listed, answer.get("NextContinuationToken") if answer["IsTruncated"] else None


def _failures(answer: Mapping[str, Any], count: int) -> list[Failure | None]:
    failures: list[Failure | None] = [None] * count
    for failed in answer.get("Failed", []):
        reason = f"{failed.get('Code')}: {failed.get('Message', '')}"
        failures[int(failed["Id"])] = Failure(reason, bool(failed.get("SenderFault")))
    return failures


async def _assume(session: Any, role: AssumeRole, region: str | None) -> None:
    """Let the session act as the role; its credentials are got at need, and renewed."""
    source = await session.get_credentials()
    if source is None:
        raise botocore.NoCredentialsError
    extra = {
        "RoleSessionName": role.session_name,
        "DurationSeconds": int(role.duration.total_seconds()),
    }
    if role.external_id is not None:
        extra["ExternalId"] = role.external_id.reveal()
    fetcher = AioAssumeRoleCredentialFetcher(
        partial(session.create_client, region_name=region, endpoint_url=role.sts_endpoint_url),
        source,
        role.role_arn,
        extra_args=extra,
    )
    session._credentials = AioDeferredRefreshableCredentials(
        refresh_using=fetcher.fetch_credentials, method="assume-role"
    )


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the SDK's errors into ours.

    Wrong keys and options are permanent. All else, expired credentials, throttling and a queue
    that is not there yet included, may pass.

    Raises:
        PermanentError: Trying again cannot help.
        TransientError: It may.
    """
    try:
        yield
    except botocore.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        text = f"{what}: {code}: {error.response.get('Error', {}).get('Message', '')}"
        if code in _WRONG_KEYS:
            raise PermanentError(text, next_step="correct the AWS credentials") from error
        raise TransientError(text) from error
    except (botocore.BotoCoreError, botocore.HTTPClientError, OSError, ValueError) as error:
        kind = type(error).__name__
        text = f"{what}: {' '.join(str(error).split()) or kind}"
        if kind in _NEXT_STEPS or isinstance(error, ValueError):
            raise PermanentError(
                text, next_step=_NEXT_STEPS.get(kind, "correct the listener's options")
            ) from error
        raise TransientError(text) from error
