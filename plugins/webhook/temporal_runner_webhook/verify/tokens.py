"""JSON Web Tokens: PyJWT checks them, against keys that are given or that the issuer publishes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import jwt

from temporal_runner.plugin import PermanentError, TransientError, parse_json
from temporal_runner_webhook.request import Refusal, Request, unauthorized
from temporal_runner_webhook.schemes import JwtVerification
from temporal_runner_webhook.verify.fetch import fetch

log = logging.getLogger("temporal_runner_webhook")
_CHALLENGE = "Bearer"


class JwtVerify:
    """Checks `Authorization: Bearer`."""

    def __init__(self, settings: JwtVerification) -> None:
        """Read the keys that are given.

        Raises:
            PermanentError: One of them is not a public key.
        """
        self._settings = settings
        self._keys: KeySet | None = None
        self._given: Sequence[Any] = ()
        if settings.jwks_url:
            lifetime = settings.jwks_lifetime.total_seconds()
            min_refresh = settings.jwks_min_refresh.total_seconds()
            self._keys = KeySet(settings.jwks_url, lifetime, min_refresh)
        elif settings.secrets:
            self._given = [secret.reveal().encode() for secret in settings.secrets]
        else:
            self._given = [_public_key(key.reveal()) for key in settings.public_keys or ()]

    async def __call__(self, request: Request) -> None:
        """Return for a good token.

        Raises:
            Refusal: 401, or 503 where the issuer's keys cannot be had.
        """
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise unauthorized("give a token (Authorization: Bearer)", _CHALLENGE)
        refused: Exception | None = None
        for key in await self._candidates(token.strip()):
            try:
                jwt.decode(
                    token.strip(),
                    key,
                    algorithms=list(self._settings.algorithms),
                    issuer=self._settings.issuer,
                    audience=self._settings.audience,
                    leeway=self._settings.leeway,
                    options={"require": ["exp", "iss", "aud"]},
                )
            except (jwt.PyJWTError, TypeError) as error:  # a key of another kind: TypeError
                refused = error
            else:
                return
        raise unauthorized(f"the token is refused: {refused}", 'Bearer error="invalid_token"')

    async def _candidates(self, token: str) -> Sequence[Any]:
        if self._keys is None:
            return self._given
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise unauthorized(f"the token is refused: {error}", _CHALLENGE) from None
        if header.get("alg") not in self._settings.algorithms:
            raise unauthorized("the token is refused: its algorithm is not allowed", _CHALLENGE)
        try:
            key = await self._keys.find(header.get("kid"))
        except TransientError as error:
            log.warning("%s", error)
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the keys of the token's issuer cannot be had just now",
                ((b"retry-after", b"5"),),
            ) from error
        if key is None:
            raise unauthorized("the token is refused: its issuer has no such key", _CHALLENGE)
        return [key]


class KeySet:
    """An issuer's published keys: fetched when needed, kept for a time, looked for when unknown."""

    def __init__(
        self,
        url: str,
        lifetime: float,
        min_refresh: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is fetched yet.

        Args:
            url: Where they are.
            lifetime: Seconds that they are used.
            min_refresh: Seconds between two fetches, whatever is asked for.
            clock: Seconds, monotonic.
        """
        self._url = url
        self._lifetime = lifetime
        self._min_refresh = min_refresh
        self._clock = clock
        self._keys: dict[str | None, Any] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str | None) -> Any:
        """The key of that ID; without an ID the only key there is.

        Raises:
            TransientError: There are no keys that may be used, and none can be fetched.
        """
        if not self._fresh or self._known(key_id) is None:
            async with self._fetching:
                if not self._fresh or self._known(key_id) is None:
                    await self._refresh()
        return self._known(key_id)

    @property
    def _fresh(self) -> bool:
        return self._clock() - self._fetched < self._lifetime

    def _known(self, key_id: str | None) -> Any:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        now = self._clock()
        usable = now - self._fetched < 2 * self._lifetime
        if now - self._tried < self._min_refresh:
            if not usable:
                raise TransientError(f"the keys at {self._url} could not be fetched a moment ago")
            return
        self._tried = now
        try:
            self._keys = read_keys(await fetch(self._url))
            self._fetched = now
        except TransientError as error:
            if not usable:
                raise
            log.warning("the keys fetched before are used on: %s", error)


def read_keys(document: bytes) -> dict[str | None, Any]:
    """The keys for signatures in what an issuer publishes, by their IDs.

    Raises:
        TransientError: It is no key set.
    """
    keys: dict[str | None, Any] = {}
    try:
        published = parse_json(document)["keys"]
        for one in published:
            if one.get("use", "sig") == "sig" and one.get("kty") != "oct":
                try:
                    # Without `alg` PyJWK would bind an RSA key to RS256: the allow-list decides.
                    key = jwt.PyJWK(one)
                    keys[one.get("kid")] = key if "alg" in one else key.key
                except jwt.PyJWTError as error:
                    log.debug("a published key is passed over: %s", error)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TransientError(f"what the issuer publishes is no key set: {error!r}") from error
    return keys


def _public_key(pem: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return load_pem_public_key(pem.encode())
    except ValueError as error:
        raise PermanentError(
            f"verify.public_keys: {error}", next_step="give public keys in PEM form"
        ) from None
