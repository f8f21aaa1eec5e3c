"""JSON Web Tokens: what they must say, and whose keys they must be signed with."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from temporal_runner.plugin import PermanentError
from temporal_runner_webhook.verify.tokens import KeySet
from tests.webhook.support import (
    SECRET,
    Listening,
    Site,
    check_problem,
    listening,
)

ISSUER, AUDIENCE = "https://issuer.example", "api://hooks"
LONG_SECRET = SECRET * 4
KEY = rsa.generate_private_key(65537, 2048)
NEXT_KEY = rsa.generate_private_key(65537, 2048)


def _claims(**changes: object) -> dict[str, Any]:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 60, "sub": "shop", **changes}
    return {name: value for name, value in claims.items() if value is not None}


def _token(
    key: Any = KEY, kid: str | None = "one", algorithm: str = "RS256", **changes: Any
) -> str:
    headers = {"kid": kid} if kid else {}
    return jwt.encode(_claims(**changes), key, algorithm=algorithm, headers=headers)


def _key_set(**keys: Any) -> bytes:
    published = []
    for kid, key in keys.items():
        written = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        published.append({**written, "kid": kid, "use": "sig", "alg": "RS256"})
    return json.dumps({"keys": published}).encode()


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "PS384"])
async def test_keys_published_without_an_algorithm(issuer: Site, algorithm: str) -> None:
    """`alg` is optional in a key set: what the config allows and the key can do is taken."""
    published = json.loads(issuer.pages["/keys"])
    del published["keys"][0]["alg"]
    issuer.pages["/keys"] = json.dumps(published).encode()
    allowed = _options(algorithms=["RS256", "RS512", "PS256"], jwks_url=issuer.url("/keys"))
    async with listening(allowed) as hooks:
        expected = 401 if algorithm == "PS384" else 202
        assert (await _post(hooks, _token(algorithm=algorithm))).status_code == expected


def _options(**more: Any) -> dict[str, Any]:
    return {
        "verify": {
            "scheme": "jwt",
            "algorithms": ["RS256"],
            "issuer": ISSUER,
            "audience": AUDIENCE,
            **more,
        }
    }


async def _post(hooks: Listening, token: str) -> Any:
    return await hooks.post({}, authorization=f"Bearer {token}")


@pytest.fixture
def issuer() -> Iterator[Site]:
    with Site({"/keys": _key_set(one=KEY)}) as site:
        yield site


@pytest.fixture
async def hooks(issuer: Site) -> AsyncIterator[Listening]:
    async with listening(_options(jwks_url=issuer.url("/keys"))) as hooks:
        yield hooks


async def test_good_token(hooks: Listening, issuer: Site) -> None:
    """A token of the issuer for us is taken; its keys are fetched once, for all requests."""
    answers = await asyncio.gather(*(_post(hooks, _token()) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert (await _post(hooks, _token(aud=["other", AUDIENCE]))).status_code == 202
    assert issuer.asked == ["/keys"]
    assert "Bearer" not in repr(hooks.events)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"iss": "https://else.example"}, "issuer"),
        ({"iss": None}, "iss"),
        ({"aud": "api://else"}, "udience"),
        ({"aud": None}, "aud"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp"),
        ({"nbf": 32503680000}, "not yet valid"),
    ],
)
async def test_claims_that_are_refused(
    hooks: Listening, changes: dict[str, Any], says: str
) -> None:
    """Another issuer or audience, an expired token, one without these claims: 401."""
    answer = await _post(hooks, _token(**changes))
    check_problem(answer, 401, says)
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_leeway(issuer: Site) -> None:
    """A clock that is off by less than the leeway is fine."""
    options = _options(jwks_url=issuer.url("/keys"), leeway="10s")
    async with listening(options) as hooks:
        assert (await _post(hooks, _token(exp=time.time() - 5))).status_code == 202
        check_problem(await _post(hooks, _token(exp=time.time() - 15)), 401)


async def test_signatures_that_are_refused(hooks: Listening) -> None:
    """Another's key under the issuer's ID, no signature, or a changed token: 401."""
    check_problem(await _post(hooks, _token(NEXT_KEY)), 401)
    head, claims, signature = _token().split(".")
    check_problem(await _post(hooks, f"{head}.{claims}.{signature[::-1]}"), 401)
    check_problem(await _post(hooks, f"{head}.{claims}."), 401)
    check_problem(await _post(hooks, _token(None, None, "none")), 401)
    assert not hooks.events


async def test_algorithms_that_are_refused(hooks: Listening) -> None:
    """Only the algorithms of the config: not another one, nor the public key as a secret."""
    check_problem(await _post(hooks, _token(algorithm="RS512")), 401, "algorithm is not allowed")
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = _forge_hs256(public)
    check_problem(await _post(hooks, forged), 401, "algorithm is not allowed")


def _forge_hs256(key: bytes) -> str:
    """A token signed by a public key as if it were a shared secret, which PyJWT refuses to make."""

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    head = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "one"}).encode())
    signed = f"{head}.{part(json.dumps(_claims()).encode())}"
    return f"{signed}.{part(hmac.digest(key, signed.encode(), 'sha256'))}"


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic eDp5"])
async def test_no_token(hooks: Listening, given: str) -> None:
    """What is no token is 401 with the challenge."""
    answer = await hooks.post({}, authorization=given)
    check_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_rotated_keys_are_fetched_when_they_are_needed(issuer: Site) -> None:
    """A token by a key that is not known makes us look for it, at most once in a time."""
    options = _options(jwks_url=issuer.url("/keys"), jwks_min_refresh="300ms")
    async with listening(options) as hooks:
        assert (await _post(hooks, _token())).status_code == 202
        issuer.pages["/keys"] = _key_set(two=NEXT_KEY)
        check_problem(await _post(hooks, _token(NEXT_KEY, "two")), 401, "no such key")
        await asyncio.sleep(0.3)  # the least time between two fetches
        assert (await _post(hooks, _token(NEXT_KEY, "two"))).status_code == 202
        check_problem(await _post(hooks, _token()), 401, "no such key")
    assert len(issuer.asked) == 2


async def test_made_up_key_ids_do_not_make_us_ask_for_ever(hooks: Listening, issuer: Site) -> None:
    """A hundred tokens with made-up key IDs cost the issuer one request."""
    answers = await asyncio.gather(
        *(_post(hooks, _token(NEXT_KEY, f"made-up-{n}")) for n in range(100))
    )
    assert {answer.status_code for answer in answers} == {401}
    assert len(issuer.asked) == 1


async def test_issuer_that_is_away(issuer: Site) -> None:
    """While there are no keys it is 503, so that the sender comes again; keys we have go on."""
    page = issuer.pages.pop("/keys")
    options = _options(jwks_url=issuer.url("/keys"), jwks_min_refresh="100ms", jwks_lifetime="1s")
    async with listening(options) as hooks:
        answer = await _post(hooks, _token())
        check_problem(answer, 503, "keys of the token's issuer")
        assert "retry-after" in answer.headers
        issuer.pages["/keys"] = page
        await asyncio.sleep(0.1)  # the least time between two fetches
        assert (await _post(hooks, _token())).status_code == 202
        del issuer.pages["/keys"]
        await asyncio.sleep(1.0)  # their lifetime
        assert (await _post(hooks, _token())).status_code == 202
    assert len(issuer.asked) == 3


async def test_keys_expire(issuer: Site) -> None:
    """Keys are fetched again after their lifetime, and given up after twice that."""
    now = 1000.0
    keys = KeySet(issuer.url("/keys"), lifetime=60, min_refresh=5, clock=lambda: now)
    assert await keys.find("one") is not None
    now += 59
    assert await keys.find("one") is not None
    assert len(issuer.asked) == 1
    now += 2
    issuer.pages["/keys"] = _key_set(two=NEXT_KEY)
    assert await keys.find("one") is None
    assert len(issuer.asked) == 2
    issuer.pages["/keys"] = b"not a key set"
    now += 61
    assert await keys.find("two") is not None
    now += 61
    with pytest.raises(Exception, match="no key set"):
        await keys.find("two")


async def test_slow_issuer_does_not_hold_up_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """While keys are fetched the event loop goes on."""
    silent = asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    server = await silent
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setattr("temporal_runner_webhook.verify.fetch._TIMEOUT", 0.5)
    async with server, listening(_options(jwks_url=f"http://127.0.0.1:{port}/keys")) as hooks:
        waiting = asyncio.create_task(_post(hooks, _token()))
        started = time.monotonic()
        check_problem(await hooks.post({}), 401)
        assert time.monotonic() - started < 0.4
        check_problem(await waiting, 503)


async def test_shared_secret() -> None:
    """HS256 with shared secrets: either while one is replaced."""
    options = _options(algorithms=["HS256"], secrets=["=~" * 32, LONG_SECRET])
    async with listening(options) as hooks:
        for secret, status in ((LONG_SECRET, 202), ("=~" * 32, 202), ("y" * 64, 401)):
            token = _token(secret, None, "HS256")
            assert (await _post(hooks, token)).status_code == status
        check_problem(await _post(hooks, _token("=~" * 32, None, "HS512")), 401)


async def test_given_public_keys() -> None:
    """Public keys out of the config: either while one is replaced, RSA and elliptic curves."""
    curve = ec.generate_private_key(ec.SECP256R1())
    pems = [
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        for key in (KEY, curve)
    ]
    options = _options(algorithms=["RS256", "ES256"], public_keys=pems)
    async with listening(options) as hooks:
        assert (await _post(hooks, _token())).status_code == 202
        assert (await _post(hooks, _token(curve, None, "ES256"))).status_code == 202
        check_problem(await _post(hooks, _token(NEXT_KEY)), 401)
    with pytest.raises(PermanentError, match="public_keys"):
        async with listening(_options(public_keys=["no key"])):
            raise AssertionError("it must not listen")
