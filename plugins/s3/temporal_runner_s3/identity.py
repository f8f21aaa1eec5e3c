"""How to sign in to AWS: the standard chain of credentials, and from there perhaps to a role."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from aiobotocore.credentials import (  # type: ignore[import-untyped]
    AioAssumeRoleCredentialFetcher,
    AioDeferredRefreshableCredentials,
)
from aiobotocore.session import AioSession  # type: ignore[import-untyped]
from botocore.exceptions import NoCredentialsError  # type: ignore[import-untyped]
from botocore.utils import parse_timestamp  # type: ignore[import-untyped]

from temporal_runner_s3.config import AssumeRole, S3Options


async def sign_in(options: S3Options, region: str | None) -> AioSession:
    """A session whose clients sign with the options' credentials.

    Args:
        options: The listener's.
        region: Where STS is asked for the role's credentials.
    """
    session = _session(options)
    if options.assume_role is None:
        return session
    credentials = await _of_role(session, options.assume_role, region)
    assumed = _session(options)
    assumed.register_component("credential_provider", _Provider(credentials))
    return assumed


def _session(options: S3Options) -> AioSession:
    session = AioSession(profile=options.profile)
    # A time that cannot be read costs that time, not the answer that it stands in.
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_time)
    return session


def _time(raw: Any) -> datetime | None:
    try:
        time: datetime = parse_timestamp(raw)
    except (ValueError, OverflowError, RuntimeError):
        return None
    return time


@dataclass(frozen=True, slots=True)
class _Provider:
    """Stands in a session for the standard chain."""

    credentials: AioDeferredRefreshableCredentials

    async def load_credentials(self) -> Any:
        """As the session asks for them."""
        return self.credentials


async def _of_role(
    session: AioSession, role: AssumeRole, region: str | None
) -> AioDeferredRefreshableCredentials:
    """The role's credentials: got at need with those of the session, and renewed."""
    source = await session.get_credentials()
    if source is None:
        raise NoCredentialsError
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
    return AioDeferredRefreshableCredentials(
        refresh_using=fetcher.fetch_credentials, method="assume-role"
    )
