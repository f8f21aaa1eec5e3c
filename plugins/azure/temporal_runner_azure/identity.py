"""How to sign in to Azure: by SAS, by key, or with Entra ID, whose tokens listeners share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from azure.core.credentials import (
    AccessToken,
    AccessTokenInfo,
    AzureNamedKeyCredential,
    AzureSasCredential,
    TokenRequestOptions,
)
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import (
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

from temporal_runner.plugin import PermanentError
from temporal_runner_azure.config import AzureOptions


@dataclass(slots=True)
class SharedToken:
    """An Entra ID credential that all listeners of one identity share, with its token cache.

    It is closed with its last user. No token may take longer than `timeout` seconds: the SDK's own
    search for a metadata service has no such bound.
    """

    key: tuple[object, ...]
    credential: Any
    timeout: float
    users: int = 0

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """As the SDK asks for it."""
        token: AccessToken = await self._bounded(self.credential.get_token(*scopes, **options))
        return token

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """As the SDK asks for it."""
        token: AccessTokenInfo = await self._bounded(
            self.credential.get_token_info(*scopes, options=options)
        )
        return token

    async def _bounded(self, request: Any) -> Any:
        try:
            async with asyncio.timeout(self.timeout):
                return await request
        except TimeoutError:
            raise ClientAuthenticationError(f"no token within {self.timeout:g}s") from None

    async def close(self) -> None:
        """The clients do not own it: see `release`."""

    async def release(self) -> None:
        """One user less."""
        self.users -= 1
        if not self.users:
            del _shared_tokens[self.key]
            await self.credential.close()

    async def __aenter__(self) -> SharedToken:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None


_shared_tokens: dict[tuple[object, ...], SharedToken] = {}


def sign_in(options: AzureOptions) -> AzureSasCredential | AzureNamedKeyCredential | SharedToken:
    """The credential of the options, where they have no connection string.

    Raises:
        PermanentError: The environment lacks what the identity needs.
    """
    if options.sas is not None:
        return AzureSasCredential(options.sas.reveal())
    if options.account_key is not None:
        assert options.account is not None
        return AzureNamedKeyCredential(options.account, options.account_key.reveal())
    return shared_token(options)


def shared_token(options: AzureOptions) -> SharedToken:
    """The credential of an identity: the same object for all who use it on this event loop.

    Raises:
        PermanentError: The environment lacks what the identity needs.
    """
    key = (
        id(asyncio.get_running_loop()),
        options.identity,
        options.client_id,
        options.tenant_id,
        options.token_timeout,
    )
    if key not in _shared_tokens:
        _shared_tokens[key] = SharedToken(
            key, _credential(options), options.token_timeout.total_seconds()
        )
    shared = _shared_tokens[key]
    shared.users += 1
    return shared


def _credential(options: AzureOptions) -> Any:
    try:
        match options.identity:
            case "managed":
                return ManagedIdentityCredential(client_id=options.client_id)
            case "workload":
                return WorkloadIdentityCredential(
                    client_id=options.client_id, tenant_id=options.tenant_id
                )
        if options.client_id is None:
            return DefaultAzureCredential()
        return DefaultAzureCredential(managed_identity_client_id=options.client_id)
    except ValueError as error:
        raise PermanentError(
            f"the {options.identity} identity cannot be used: {error}",
            next_step="run where that identity is provided, or give connection_string or sas",
        ) from None
