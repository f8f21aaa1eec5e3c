"""Senders that send a secret as it is: GitLab, Event Grid, basic authentication, API keys."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import ValidationError

from temporal_runner_webhook.config import WebhookOptions
from temporal_runner_webhook.schemes import GithubVerification
from tests.webhook.support import SECRET, check_problem, listening, make_options

OTHER = "another-secret-of-the-tests"
GITLAB = {
    "x_gitlab_event": "Push Hook",
    "idempotency_key": "f5e5f430-f57b-4e6e-9fac-d9128cd7232f",
    "x_gitlab_event_uuid": "13792a34-cac6-4fda-95a8-c58e00a3954e",
}


def _gitlab(*secrets: str) -> dict[str, Any]:
    return {"verify": {"scheme": "gitlab", "secrets": list(secrets)}}


async def test_gitlab_token_is_taken() -> None:
    """GitLab's token lets it in; its Idempotency-Key is the ID, its event the type."""
    body = {"object_kind": "push", "project": {"path_with_namespace": "mike/diaspora"}}
    async with listening(_gitlab(SECRET)) as hooks:
        answer = await hooks.post(body, x_gitlab_token=SECRET, **GITLAB)
    assert answer.status_code == 202
    assert (hooks.event.id, hooks.event.type) == (GITLAB["idempotency_key"], "Push Hook")
    assert hooks.event.subject == "mike/diaspora"
    assert SECRET not in repr(hooks.event)


async def test_gitlab_before_it_had_idempotency_keys() -> None:
    """Without an Idempotency-Key the body tells events apart."""
    async with listening(_gitlab(SECRET)) as hooks:
        for ref in ("main", "main", "next"):
            await hooks.post({"ref": ref}, x_gitlab_token=SECRET, x_gitlab_event="Push Hook")
    assert len({event.id for event in hooks.events}) == 2


async def test_gitlab_wrong_rotated_and_missing_token() -> None:
    """Another token or none is 401; while two are configured either is taken."""
    async with listening(_gitlab(OTHER, SECRET)) as hooks:
        check_problem(await hooks.post({}, **GITLAB), 401, "x-gitlab-token is missing")
        check_problem(await hooks.post({}, x_gitlab_token="wrong", **GITLAB), 401)
        for token in (SECRET, OTHER):
            assert (await hooks.post({}, x_gitlab_token=token, **GITLAB)).status_code == 202
    async with listening(_gitlab(OTHER)) as hooks:
        check_problem(await hooks.post({}, x_gitlab_token=SECRET, **GITLAB), 401)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


USERS = [{"username": "shop", "password": SECRET}, {"username": "stock", "password": "pässword"}]


async def test_basic_authentication() -> None:
    """Each user is let in by its own password."""
    async with listening({"verify": {"scheme": "basic", "users": USERS}}) as hooks:
        for user, password in (("shop", SECRET), ("stock", "pässword")):
            answer = await hooks.post({}, authorization=_basic(user, password))
            assert answer.status_code == 202, answer.text
    assert SECRET not in repr(hooks.events)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Basic",
        "Basic ???",
        f"Bearer {SECRET}",
        _basic("shop", "wrong"),
        _basic("stock", SECRET),
        _basic("shop:", SECRET),
    ],
)
async def test_basic_authentication_refuses(given: str) -> None:
    """Whoever has not a user's password is 401, with the challenge."""
    async with listening({"verify": {"scheme": "basic", "users": USERS}}) as hooks:
        answer = await hooks.post({}, authorization=given)
    check_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Basic ")


async def test_api_key_in_a_header() -> None:
    """A key in the header of the config is taken, and is not in the event."""
    verify = {"scheme": "api_key", "keys": [OTHER, SECRET], "header": "X-Shop-Pass"}
    async with listening({"verify": verify}) as hooks:
        check_problem(await hooks.post({}), 401, "x-shop-pass is missing")
        check_problem(await hooks.post({}, x_shop_pass="wrong"), 401)
        for key in (SECRET, OTHER):
            assert (await hooks.post({}, x_shop_pass=key)).status_code == 202
    assert SECRET not in repr(hooks.events)


async def test_api_key_in_the_url() -> None:
    """A key in a parameter of the URL is taken, percent-encoded too."""
    verify = {"scheme": "api_key", "keys": ["a key&more"], "query": "key"}
    async with listening({"verify": verify}) as hooks:
        check_problem(await hooks.post({}), 401, "parameter key is missing")
        check_problem(await hooks.post({}, query="?key=a"), 401)
        assert (await hooks.post({}, query="?x=1&key=a%20key%26more")).status_code == 202
    assert "key&more" not in repr(hooks.events)


@pytest.mark.parametrize(
    "verify",
    [
        {"scheme": "github", "secrets": []},
        {"scheme": "github"},
        {"scheme": "standard_webhooks", "secrets": ["whsec_???"]},
        {"scheme": "event_grid", "secrets": ["s"]},
        {"scheme": "event_grid", "secrets": ["s"], "query": "code", "header": "X-Code"},
        {"scheme": "jwt", "algorithms": ["none"], "issuer": "i", "audience": "a"},
        {"scheme": "jwt", "algorithms": ["RS256"], "issuer": "i", "audience": "a"},
        {
            "scheme": "jwt",
            "algorithms": ["HS256"],
            "issuer": "i",
            "audience": "a",
            "jwks_url": "https://x/keys",
        },
        {
            "scheme": "jwt",
            "algorithms": ["RS256"],
            "issuer": "i",
            "audience": "a",
            "jwks_url": "http://issuer.example/keys",
        },
        {"scheme": "sns", "topics": []},
        {"scheme": "nobody"},
    ],
)
def test_options_that_make_no_sense(verify: dict[str, Any]) -> None:
    """A verification that would verify nothing, or not as it seems, is an error of the config."""
    with pytest.raises(ValueError):
        make_options({"verify": verify})


def test_verification_must_be_chosen() -> None:
    """There is no default: taking requests of anybody has to be said."""
    with pytest.raises(ValueError, match="verify"):
        WebhookOptions.model_validate({})


def test_secrets_print_as_stars() -> None:
    """No secret is in the options' repr."""
    options = make_options({"verify": {"scheme": "api_key", "keys": [SECRET]}})
    assert SECRET not in repr(options)


KEY = "c2VjcmV0" * 6
"""Base64 of 36 bytes."""
TOKEN = {"issuer": "i", "audience": "a"}
WEAK: list[tuple[str, dict[str, Any]]] = [
    ("standard_webhooks", {"secrets": ["whsec_"]}),
    ("standard_webhooks", {"secrets": [""]}),
    ("standard_webhooks", {"secrets": ["whsec_c2VjcmV0"]}),
    ("standard_webhooks", {"secrets": ["whsec_" + KEY, "whsec_"]}),
    ("github", {"secrets": [" "]}),
    ("github", {"secrets": ["x"]}),
    ("github", {"secrets": ["       ~       "]}),
    ("github", {"secrets": []}),
    ("github", {"secrets": ["", "  "]}),
    ("gitlab", {"secrets": ["unset"]}),
    ("stripe", {"secrets": ["whsec_"]}),
    ("slack", {"secrets": ["\t\n"]}),
    ("hmac", {"secrets": ["short"], "header": "X-Signature"}),
    ("api_key", {"keys": ["unset"]}),
    ("event_grid", {"secrets": ["code"], "query": "code"}),
    ("basic", {"users": [{"username": "u", "password": "hunter2"}]}),
    ("jwt", {**TOKEN, "secrets": ["~q" * 15], "algorithms": ["HS256"]}),
    ("jwt", {**TOKEN, "secrets": ["~q" * 23], "algorithms": ["HS384"]}),
    ("jwt", {**TOKEN, "secrets": ["~q" * 31], "algorithms": ["HS256", "HS512"]}),
]


@pytest.mark.parametrize(("scheme", "options"), WEAK, ids=str)
def test_empty_and_weak_secrets_are_refused(scheme: str, options: dict[str, Any]) -> None:
    """Whoever signs with an empty key, or guesses a short one, is nobody's sender."""
    with pytest.raises(ValidationError):
        make_options({"verify": {"scheme": scheme, **options}})


def test_an_empty_entry_drops_out() -> None:
    """`${OLD:-}` after a change of secrets is no secret, and no error beside one that is."""
    options = make_options({"verify": {"scheme": "github", "secrets": ["", "hush-hush-hush", " "]}})
    assert isinstance(options.verify, GithubVerification)
    assert [secret.reveal() for secret in options.verify.secrets] == ["hush-hush-hush"]
