"""An Azure listener's options: which account and how to sign in, then what each mode needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field, model_validator

from temporal_runner.plugin import Duration, ListingOptions, PositiveDuration, Secret

_LONGEST_NAME = 63
_NAME = r"[a-z0-9](?:-?[a-z0-9])*"


def _name(also: str = "") -> AfterValidator:
    def check(name: str) -> str:
        if name not in also.split() and not (
            3 <= len(name) <= _LONGEST_NAME and re.fullmatch(_NAME, name)
        ):
            raise ValueError("Azure's names have 3 to 63 small letters, digits and single hyphens")
        return name

    return AfterValidator(check)


QueueName = Annotated[str, _name()]
ContainerName = Annotated[str, _name("$root $web $logs $blobchangefeed")]
_LONGEST_VISIBILITY = timedelta(days=7)
_ACCOUNT = ("endpoint_suffix", "sas", "account_key", "identity", "client_id", "tenant_id")
_OF_QUEUE = (
    "queue",
    "encoding",
    "visibility_timeout",
    "max_receives",
    "poll_min",
    "poll_max",
    "include_created_files",
)
_OF_LIST = ("container", *ListingOptions.model_fields)


class AzureOptions(ListingOptions):
    """Blob events by a Storage Queue that Event Grid fills, or by listing a container."""

    mode: Literal["queue", "list"] = "queue"
    """queue: Event Grid writes to a Storage Queue. list: the container is listed again and again,
    where there is no Event Grid."""

    # The account, and how to sign in.

    connection_string: Secret | None = None
    """The account with its key or its SAS, as the portal shows it; `UseDevelopmentStorage=true`
    is the emulator."""
    account: Annotated[str, Field(pattern=r"^[a-z0-9]{3,24}$")] | None = None
    """The account's name, instead of a connection string."""
    endpoint_suffix: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")] = "core.windows.net"
    """What follows `<account>.queue.`: core.usgovcloudapi.net, core.chinacloudapi.cn, …"""
    sas: Secret | None = None
    """A shared access signature for `account`."""
    account_key: Secret | None = None
    """The key of `account`."""
    identity: Literal["default", "managed", "workload"] = "default"
    """Where neither is given: Entra ID by a managed identity, by a workload identity (Kubernetes),
    or by the default chain (environment, workload, managed, then a developer's own sign-in)."""
    client_id: str | None = None
    """The identity's client ID, for a user-assigned managed identity or a workload identity."""
    tenant_id: str | None = None
    """The tenant of a workload identity; by default the environment's."""
    token_timeout: PositiveDuration = timedelta(seconds=8)
    """How long a token may take, the probe for a metadata service included."""

    # mode: queue

    queue: QueueName | None = None
    """The Storage Queue that Event Grid writes to."""
    encoding: Literal["auto", "base64", "text"] = "auto"
    """Whether messages are base64. Event Grid writes base64; auto tells it by the message."""
    visibility_timeout: Annotated[
        Duration, Field(ge=timedelta(seconds=1), le=_LONGEST_VISIBILITY)
    ] = timedelta(seconds=30)
    """After how long a message is delivered again when the runner dies. While it lives it extends
    the time at each half of it, for as long as the event takes."""
    max_receives: Annotated[
        int, Field(ge=1, validation_alias=AliasChoices("max_receives", "max_deliveries"))
    ] = 10
    """A message that is received more often goes to the dead letters without being looked into."""
    poll_min: PositiveDuration = timedelta(milliseconds=100)
    """The first pause when the queue is empty: Storage Queues have no long poll. It doubles up to
    `poll_max`, and starts anew with each message."""
    poll_max: PositiveDuration = timedelta(seconds=10)
    """The longest pause; also the longest that the first message after a quiet time waits."""
    include_created_files: bool = False
    """Take Data Lake's CreateFile and SFTP's SftpCreate events too. The file is empty then; where
    its writer closes it, FlushWithClose or SftpCommit follows. The log counts what is left out."""

    # mode: list; its other options are those of every listing

    container: ContainerName | None = None
    """The container to list."""

    # both

    dead_letter_queue: Annotated[
        QueueName | None, Field(validation_alias=AliasChoices("dead_letter_queue", "poison_queue"))
    ] = None
    """Where events are kept that can never succeed. By default `<queue>-poison`, as Azure's own
    triggers name it; in list mode the runner's own `dead_letters`."""

    @model_validator(mode="after")
    def _one_account(self) -> AzureOptions:
        if (self.connection_string is None) == (self.account is None):
            raise ValueError("give connection_string or account")
        if self.connection_string is not None:
            self._refuse(_ACCOUNT, "connection_string says it all; drop {}")
        if self.sas is not None and self.account_key is not None:
            raise ValueError("give sas or account_key")
        if self.sas is not None or self.account_key is not None:
            self._refuse(_ACCOUNT[3:], "sas and account_key need no {}")
        if self.tenant_id is not None and self.identity != "workload":
            raise ValueError("tenant_id is for identity: workload")
        return self

    @model_validator(mode="after")
    def _fits_mode(self) -> AzureOptions:
        if self.mode == "queue":
            self._refuse(_OF_LIST, "{} is for mode: list")
            if self.queue is None:
                raise ValueError("mode: queue needs queue")
            if len(self.dead_letters) > _LONGEST_NAME:
                raise ValueError("<queue>-poison would be too long a name; give dead_letter_queue")
            if self.dead_letters == self.queue:
                raise ValueError("dead_letter_queue must be another queue than queue")
            if self.poll_min > self.poll_max:
                raise ValueError("poll_min is longer than poll_max")
        else:
            self._refuse(_OF_QUEUE, "{} is for mode: queue")
            if self.container is None:
                raise ValueError("mode: list needs container")
        return self

    def _refuse(self, names: tuple[str, ...], message: str) -> None:
        for name in names:
            if name in self.model_fields_set:
                raise ValueError(message.format(name))

    @property
    def dead_letters(self) -> str:
        """The dead letter queue's name; empty where there is none."""
        return self.dead_letter_queue or (f"{self.queue}-poison" if self.queue else "")

    @property
    def signs_in_with_secret(self) -> bool:
        """A key or a signature from the config, not an identity."""
        return any((self.connection_string, self.sas, self.account_key))


def claims(options: AzureOptions) -> Iterator[str]:
    """What two listeners of a config cannot share: a queue, a state file."""
    if options.queue:
        yield f"the queue {_account(options)}{options.queue}"
    if options.state_file:
        yield f"the state file {options.state_file}"


def _account(options: AzureOptions) -> str:
    if options.account:
        return f"{options.account}/"
    assert options.connection_string is not None
    settings = options.connection_string.reveal()
    named = re.search(r"(?:^|;)AccountName=([^;]+)", settings, re.IGNORECASE)
    at = re.search(r"(?:^|;)QueueEndpoint=https?://([^;?]+)", settings, re.IGNORECASE)
    return f"{(at or named)[1].rstrip('/')}/" if at or named else ""  # type: ignore[index]
