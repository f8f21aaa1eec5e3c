"""Senders that sign: each preset against its sender's own published scheme and examples."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from temporal_runner_webhook.request import Refusal, Request
from temporal_runner_webhook.verify import make_verify
from tests.webhook.support import (
    SECRET,
    Signed,
    check_problem,
    listening,
    make_options,
    sign_github,
    sign_slack,
    sign_standard,
    sign_stripe,
    standard_secret,
)

OTHER = "another-secret-of-the-tests"


@dataclass(frozen=True)
class Preset:
    """A preset, how its sender signs, and what it makes of the event."""

    scheme: str
    sign: Callable[..., Signed]
    body: bytes
    signature: str
    id: str
    type: str
    stamped: bool = False
    write: Callable[[str], str] = str

    def options(self, *secrets: str, **more: Any) -> dict[str, Any]:
        written = [self.write(secret) for secret in secrets or (SECRET,)]
        return {"verify": {"scheme": self.scheme, "secrets": written, **more}}

    def __str__(self) -> str:
        return self.scheme


PRESETS = [
    Preset(
        "github",
        sign_github,
        b'{"ref": "refs/heads/main"}',
        "X-Hub-Signature-256",
        "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "push",
    ),
    Preset(
        "standard_webhooks",
        sign_standard,
        b'{"type": "invoice.paid", "data": {"id": "in_1"}}',
        "webhook-signature",
        "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        "invoice.paid",
        stamped=True,
        write=standard_secret,
    ),
    Preset(
        "stripe",
        sign_stripe,
        b'{"id": "evt_1Q", "type": "charge.succeeded", "created": 1753000000,'
        b' "data": {"object": {"id": "ch_3Q"}}}',
        "Stripe-Signature",
        "evt_1Q",
        "charge.succeeded",
        stamped=True,
    ),
    Preset(
        "slack",
        sign_slack,
        b'{"type": "event_callback", "event_id": "Ev08MFMKH6",'
        b' "event": {"type": "app_mention", "channel": "C024BE91L"}}',
        "X-Slack-Signature",
        "Ev08MFMKH6",
        "app_mention",
        stamped=True,
    ),
]
every = pytest.mark.parametrize("preset", PRESETS, ids=str)
stamped = pytest.mark.parametrize("preset", [one for one in PRESETS if one.stamped], ids=str)


async def _send(
    preset: Preset, options: dict[str, Any], headers: Signed, body: bytes | None = None
) -> httpx.Response:
    async with listening(options) as hooks:
        answer = await hooks.post(preset.body if body is None else body, **headers)
        assert len(hooks.events) == (answer.status_code == 202)
        return answer


@every
async def test_signed_request_is_taken(preset: Preset) -> None:
    """What is signed as the sender publishes is taken, and the sender's ID is the event's."""
    async with listening(preset.options()) as hooks:
        answer = await hooks.post(preset.body, **preset.sign(preset.body))
    assert answer.status_code == 202
    assert (hooks.event.id, hooks.event.type) == (preset.id, preset.type)


@every
async def test_tampered_body(preset: Preset) -> None:
    """One byte more or other than what was signed is 401."""
    signed = preset.sign(preset.body)
    for body in (preset.body + b" ", preset.body.replace(b'"', b"'", 1)):
        check_problem(await _send(preset, preset.options(), signed, body), 401, "does not match")


@every
async def test_wrong_secret(preset: Preset) -> None:
    """A signature by another secret is 401."""
    answer = await _send(preset, preset.options(), preset.sign(preset.body, OTHER))
    check_problem(answer, 401, "does not match")


@every
async def test_rotated_secret(preset: Preset) -> None:
    """While two secrets are configured either is taken; the old one no more once it is removed."""
    both = preset.options(OTHER, SECRET)
    for secret in (OTHER, SECRET):
        answer = await _send(preset, both, preset.sign(preset.body, secret))
        assert answer.status_code == 202
    rotated = preset.options(OTHER)
    check_problem(await _send(preset, rotated, preset.sign(preset.body, SECRET)), 401)


@every
async def test_missing_header(preset: Preset) -> None:
    """Without the signature it is 401, and the answer names the header."""
    signed = preset.sign(preset.body)
    signed.pop(preset.signature)
    answer = await _send(preset, preset.options(), signed)
    check_problem(answer, 401, preset.signature.lower())


@every
@pytest.mark.parametrize("signature", ["", "v1,", "sha256=", "x" * 9000, "\u00e9"])
async def test_nonsense_for_a_signature(preset: Preset, signature: str) -> None:
    """Whatever else stands in the header is 401."""
    signed = {**preset.sign(preset.body), preset.signature: signature}
    async with listening(preset.options()) as hooks:
        headers = [(name.encode(), value.encode("latin-1")) for name, value in signed.items()]
        headers.append((b"content-type", b"application/json"))
        answer = await hooks.http.post(hooks.url, content=preset.body, headers=headers)
    check_problem(answer, 401)


@stamped
@pytest.mark.parametrize("offset", [-330, 330])
async def test_stale_and_future_times(preset: Preset, offset: int) -> None:
    """A time further from ours than the tolerance is 401, in the past and in the future."""
    signed = preset.sign(preset.body, at=time.time() + offset)
    check_problem(await _send(preset, preset.options(), signed), 401, "tolerance")


@stamped
@pytest.mark.parametrize("offset", [-290, 290])
async def test_times_within_the_tolerance(preset: Preset, offset: int) -> None:
    """Clocks that differ by less than the tolerance are fine."""
    signed = preset.sign(preset.body, at=time.time() + offset)
    assert (await _send(preset, preset.options(), signed)).status_code == 202


@stamped
async def test_configured_tolerance(preset: Preset) -> None:
    """`tolerance` is the config's to say."""
    signed = preset.sign(preset.body, at=time.time() - 20)
    answer = await _send(preset, preset.options(tolerance="10s"), signed)
    check_problem(answer, 401, "tolerance")


@stamped
@pytest.mark.parametrize("stamp", ["", "soon", "-5", "1.5", "9" * 5000])
async def test_nonsense_for_a_time(preset: Preset, stamp: str) -> None:
    """Whatever stands for the time is 401, not a failure of ours."""
    at = str(int(time.time()))
    signed = {name: value.replace(at, stamp) for name, value in preset.sign(preset.body).items()}
    check_problem(await _send(preset, preset.options(), signed), 401)


async def test_stripe_takes_one_of_several_signatures() -> None:
    """While Stripe rolls a secret it signs by both: one by a secret of ours is enough."""
    preset = PRESETS[2]
    ours, others = preset.sign(preset.body), preset.sign(preset.body, OTHER)
    stamp, good, _ = ours["Stripe-Signature"].split(",")
    _, other, _ = others["Stripe-Signature"].split(",")
    signed = {"Stripe-Signature": ", ".join([stamp, other, good])}
    assert (await _send(preset, preset.options(), signed)).status_code == 202
    old = {"Stripe-Signature": f"{stamp},{good.replace('v1=', 'v0=')}"}
    check_problem(await _send(preset, preset.options(), old), 401)


async def test_standard_webhooks_takes_one_of_several_signatures() -> None:
    """Of several signatures one by a secret of ours is enough; other versions are passed over."""
    preset = PRESETS[1]
    signed = preset.sign(preset.body)
    good = signed["webhook-signature"]
    wrong = preset.sign(preset.body, OTHER)["webhook-signature"]
    signed["webhook-signature"] = f"v1a,{good.removeprefix('v1,')} {wrong} {good}"
    assert (await _send(preset, preset.options(), signed)).status_code == 202
    signed["webhook-signature"] = good.replace("v1,", "v1a,")
    check_problem(await _send(preset, preset.options(), signed), 401)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
async def test_hmac_of_a_sender_without_a_preset(algorithm: str, encoding: str) -> None:
    """Hash, encoding, prefix and header are the config's to say."""
    body = b'{"order": 1}'
    digest = hmac.new(SECRET.encode(), body, getattr(hashlib, algorithm))
    written = digest.hexdigest()
    if encoding == "base64":
        written = base64.b64encode(digest.digest()).decode()
    verify = {
        "scheme": "hmac",
        "secrets": [SECRET],
        "header": "X-Acme-Sig",
        "algorithm": algorithm,
        "encoding": encoding,
        "prefix": "v0=",
    }
    async with listening({"verify": verify}) as hooks:
        assert (await hooks.post(body, x_acme_sig="v0=" + written)).status_code == 202
        check_problem(await hooks.post(body, x_acme_sig=written), 401, "begin with v0=")
        check_problem(await hooks.post(body + b" ", x_acme_sig="v0=" + written), 401)


# The senders' own examples. ----------------------------------------------------------------------


async def _check_example(
    verify: dict[str, Any], headers: dict[str, str], body: bytes, at: float = 0.0
) -> None:
    check = make_verify(make_options({"verify": verify}).verify, clock=lambda: at)
    await check(Request(headers, b"", body))
    with pytest.raises(Refusal, match="does not match"):
        await check(Request(headers, b"", body + b"\n"))


async def test_githubs_own_example() -> None:
    """The example of GitHub's page "Validating webhook deliveries" verifies."""
    await _check_example(
        {"scheme": "github", "secrets": ["It's a Secret to Everybody"]},
        {
            "x-hub-signature-256": "sha256="
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        },
        b"Hello, World!",
    )


async def test_standard_webhooks_own_example() -> None:
    """The example of the Standard Webhooks reference libraries verifies."""
    await _check_example(
        {
            "scheme": "standard_webhooks",
            "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        },
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        at=1614265330,
    )


async def test_slacks_own_example() -> None:
    """The example of Slack's page "Verifying requests from Slack" verifies."""
    await _check_example(
        {"scheme": "slack", "secrets": ["8f742231b10e8888abcd99yyyzzz85a5"]},
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0="
            "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
        b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
        b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
        b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        at=1531420618,
    )
