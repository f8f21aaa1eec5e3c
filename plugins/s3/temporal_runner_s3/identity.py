"""How to sign in to AWS: the standard chain of credentials, and from there perhaps to a role."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from aiobotocore.credentials import (  # type: ignore[import-untyped]
    AioAssumeRoleCredentialFetcher,
    AioDeferredRefreshableCredentials,
)
from aiobotocore.session import AioSession  # type: ignore[import-untyped]
from botocore.exceptions import NoCredentialsError  # type: ignore[import-untyped]

from temporal_runner_s3.config import AssumeRole, S3Options


async def sign_in(options: S3Options, region: str | None) -> AioSession:
    """A session whose clients sign with the options' credentials.

    Args:
        options: The listener's.
        region: Where STS is asked for the role's credentials.
    """
    session = AioSession(profile=options.profile)
    if options.assume_role is None:
        return session
    credentials = await _of_role(session, options.assume_role, region)
    assumed = AioSession(profile=options.profile)
    assumed.register_component("credential_provider", _Provider(credentials))
    return assumed


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
