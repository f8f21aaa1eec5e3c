"""Amazon SNS: signatures of both versions by a certificate that is fetched, confirmations."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.webhook.support import Listening, Site, check_problem, listening

TOPIC = "arn:aws:sns:us-west-2:123456789012:MyTopic"
CERTIFICATE = "/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem"
KEY = generate_private_key(65537, 2048)
OTHER_KEY = generate_private_key(65537, 2048)


def _certificate(key: RSAPrivateKey = KEY, *, days: int = 30) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )


def _sign(message: dict[str, str], key: RSAPrivateKey = KEY) -> dict[str, str]:
    """By the scheme of the page "Verifying the signatures of Amazon SNS messages"."""
    fields = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token"]
    fields += ["TopicArn", "Type"]
    if message["Type"] == "Notification":
        fields = [name for name in fields if name not in {"SubscribeURL", "Token"}]
    content = "".join(f"{name}\n{message[name]}\n" for name in fields if name in message)
    algorithm = SHA1() if message["SignatureVersion"] == "1" else SHA256()
    signature = key.sign(content.encode(), PKCS1v15(), algorithm)
    return {**message, "Signature": base64.b64encode(signature).decode()}


def _message(site: Site, **changes: str) -> dict[str, str]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.123Z")
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Subject": "My First Message",
        "Message": '{"order": "A-1"}',
        "Timestamp": now,
        "SignatureVersion": "1",
        "SigningCertURL": site.url(CERTIFICATE),
        **changes,
    }


@pytest.fixture
def amazon() -> Iterator[Site]:
    with Site({CERTIFICATE: _certificate()}) as site:
        yield site


def _options(amazon: Site, **more: Any) -> dict[str, Any]:
    hosts = {"topics": [TOPIC], "certificate_hosts": [amazon.host]}
    return {"verify": {"scheme": "sns", **hosts, **more}}


@pytest.fixture
async def hooks(amazon: Site) -> AsyncIterator[Listening]:
    async with listening(_options(amazon)) as hooks:
        yield hooks


async def _post(hooks: Listening, message: dict[str, str]) -> httpx.Response:
    kind = {"x_amz_sns_message_type": message.get("Type", "")}
    return await hooks.post(message, content_type="text/plain; charset=UTF-8", **kind)


@pytest.mark.parametrize("version", ["1", "2"])
async def test_signed_message_is_taken(hooks: Listening, amazon: Site, version: str) -> None:
    """Both signature versions; the message's ID, topic, subject and content are the event's."""
    for _ in range(2):
        answer = await _post(hooks, _sign(_message(amazon, SignatureVersion=version)))
        assert answer.status_code == 202, answer.text
    event = hooks.events[0]
    assert event.id == "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"
    assert (event.source, event.type, event.subject) == (TOPIC, "Notification", "My First Message")
    assert event.data == {"order": "A-1"}
    assert amazon.asked == [CERTIFICATE], "the certificate is fetched once"


async def test_forged_messages_drive_no_certificate_out(amazon: Site) -> None:
    """Whoever knows the topic can name certificates that are real, and that signed nothing."""
    others = [CERTIFICATE.replace(".pem", f"{number}.pem") for number in range(12)]
    amazon.pages |= dict.fromkeys(others, _certificate())
    async with listening(_options(amazon)) as hooks:
        assert (await _post(hooks, _sign(_message(amazon)))).status_code == 202
        for other in others:
            forged = _message(amazon, SigningCertURL=amazon.url(other), Signature="AAAA")
            check_problem(await _post(hooks, forged), 401)
        for end in ("#x", "?x", "#", "?"):
            strange = _message(amazon, SigningCertURL=amazon.url(CERTIFICATE) + end)
            check_problem(await _post(hooks, _sign(strange)), 401)
        whole = amazon.url(CERTIFICATE)
        for spelt in (
            f" {whole}",
            f"\t{whole}",
            whole.replace("http", "hTtp"),
            f"{whole[:9]}\n{whole[9:]}",
        ):
            await _post(hooks, _sign(_message(amazon, SigningCertURL=spelt)))
        assert (await _post(hooks, _sign(_message(amazon)))).status_code == 202
    assert amazon.asked.count(CERTIFICATE) == 1


async def test_message_that_is_text_and_has_no_subject(hooks: Listening, amazon: Site) -> None:
    """A message that is no JSON is text; the subject may be missing."""
    message = _message(amazon, Message="Hello world!")
    del message["Subject"]
    assert (await _post(hooks, _sign(message))).status_code == 202
    assert (hooks.event.data, hooks.event.subject) == ("Hello world!", None)


@pytest.mark.parametrize("field", ["Message", "MessageId", "Subject", "TopicArn", "Timestamp"])
async def test_tampered_message(amazon: Site, field: str) -> None:
    """A signed field that was changed is 401."""
    signed = _sign(_message(amazon))
    changed = {"TopicArn": TOPIC + "2", "Timestamp": signed["Timestamp"].replace(".123", ".124")}
    signed[field] = changed.get(field, signed[field] + " ")
    async with listening(_options(amazon, topics=[TOPIC, TOPIC + "2"])) as hooks:
        check_problem(await _post(hooks, signed), 401, "does not match")
    assert not hooks.events


async def test_wrong_key(hooks: Listening, amazon: Site) -> None:
    """A signature by another key than the certificate's is 401."""
    check_problem(await _post(hooks, _sign(_message(amazon), OTHER_KEY)), 401, "does not match")


@pytest.mark.parametrize("hours", [-3, 3])
async def test_stale_and_future_messages(hooks: Listening, amazon: Site, hours: int) -> None:
    """A time further from ours than the tolerance is 401."""
    time = datetime.now(UTC) + timedelta(hours=hours)
    message = _message(amazon, Timestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ"))
    check_problem(await _post(hooks, _sign(message)), 401, "tolerance")
    check_problem(await _post(hooks, _sign(_message(amazon, Timestamp="now"))), 401, "time")


@pytest.mark.parametrize("field", ["Signature", "SigningCertURL", "MessageId", "TopicArn"])
async def test_missing_field(hooks: Listening, amazon: Site, field: str) -> None:
    """A message without a field that all have is 401."""
    signed = _sign(_message(amazon))
    del signed[field]
    check_problem(await _post(hooks, signed), 401, field)


async def test_another_topic(hooks: Listening, amazon: Site) -> None:
    """A topic that the config does not name is 401, however well it is signed."""
    message = _message(amazon, TopicArn="arn:aws:sns:us-west-2:999999999999:Theirs")
    check_problem(await _post(hooks, _sign(message)), 401, "topic")


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.us-east-1.amazonaws.com.evil.example" + CERTIFICATE,
        "https://evil.example" + CERTIFICATE,
        "https://sns.us-east-1.amazonaws.com@evil.example" + CERTIFICATE,
        "https://evil.example\\.sns.us-east-1.amazonaws.com" + CERTIFICATE,
        "http://sns.us-east-1.amazonaws.com" + CERTIFICATE,
        "https://sns.us-east-1.amazonaws.com:8443" + CERTIFICATE,
        "https://sns.us-east-1.amazonaws.com/?Action=x" + CERTIFICATE,
        "https://sns.us-east-1.amazonaws.com" + CERTIFICATE + "?x=1",
        "https://sns.us-east-1.amazonaws.com/other.pem",
        "https://[",
        "file:///etc/passwd",
    ],
)
async def test_certificate_at_another_place(hooks: Listening, amazon: Site, url: str) -> None:
    """A certificate is fetched from Amazon alone: any other place is 401, and is not asked."""
    check_problem(await _post(hooks, _sign(_message(amazon, SigningCertURL=url))), 401)
    assert not amazon.asked


async def test_certificate_that_cannot_be_had(hooks: Listening, amazon: Site) -> None:
    """While the certificate cannot be fetched it is 503: SNS sends it again."""
    page = amazon.pages.pop(CERTIFICATE)
    answer = await _post(hooks, _sign(_message(amazon)))
    check_problem(answer, 503)
    assert "retry-after" in answer.headers
    amazon.pages[CERTIFICATE] = page
    assert (await _post(hooks, _sign(_message(amazon)))).status_code == 202


async def test_certificate_that_is_none_or_expired(hooks: Listening, amazon: Site) -> None:
    """A certificate that is none, or not valid at this time, is 401."""
    amazon.pages[CERTIFICATE] = b"hello"
    check_problem(await _post(hooks, _sign(_message(amazon))), 401, "certificate")
    amazon.pages[CERTIFICATE] = _certificate(days=-1)
    check_problem(await _post(hooks, _sign(_message(amazon))), 401, "not valid at this time")


async def test_signature_version_that_is_not_allowed(amazon: Site) -> None:
    """A config that allows SHA-256 alone refuses SHA-1."""
    async with listening(_options(amazon, signature_versions=["2"])) as hooks:
        check_problem(await _post(hooks, _sign(_message(amazon))), 401, "version")
        signed = _sign(_message(amazon, SignatureVersion="2"))
        assert (await _post(hooks, signed)).status_code == 202


def _confirmation(amazon: Site, **changes: str) -> dict[str, str]:
    message = _message(
        amazon,
        Type="SubscriptionConfirmation",
        Message="You have chosen to subscribe to the topic",
        Token="2336412f37fb687f5d51e6e241d09c805a5a57b30d712f794cc5f6a988666d92768dd60a747ba6f3beb",
        SubscribeURL=amazon.url("/?Action=ConfirmSubscription&Token=233"),
        **changes,
    )
    del message["Subject"]
    return message


async def test_subscription_is_confirmed(hooks: Listening, amazon: Site) -> None:
    """A subscription of our topic is confirmed at its URL, and is no event."""
    amazon.pages["/?Action=ConfirmSubscription&Token=233"] = b"<ok/>"
    answer = await _post(hooks, _sign(_confirmation(amazon)))
    assert (answer.status_code, answer.json()) == (200, {"status": "confirmed"})
    assert amazon.asked == [CERTIFICATE, "/?Action=ConfirmSubscription&Token=233"]
    assert not hooks.events


async def test_subscription_that_is_not_confirmed(hooks: Listening, amazon: Site) -> None:
    """Not signed, or at a URL that is not Amazon's: 401, and nobody is asked."""
    unsigned = {**_sign(_confirmation(amazon)), "Token": "changed"}
    check_problem(await _post(hooks, unsigned), 401)
    elsewhere = _confirmation(amazon)
    elsewhere["SubscribeURL"] = "https://evil.example/"
    check_problem(await _post(hooks, _sign(elsewhere)), 401, "not Amazon's")
    check_problem(await _post(hooks, _sign(_confirmation(amazon))), 503, "confirmed")
    # What a message that does not verify names as its certificate is not kept.
    assert amazon.asked == [CERTIFICATE, CERTIFICATE, "/?Action=ConfirmSubscription&Token=233"]


async def test_subscriptions_are_confirmed_only_where_the_config_wants_it(amazon: Site) -> None:
    """With confirm_subscriptions: false a person confirms."""
    async with listening(_options(amazon, confirm_subscriptions=False)) as hooks:
        answer = await _post(hooks, _sign(_confirmation(amazon)))
    assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})
    assert amazon.asked == [CERTIFICATE]


@pytest.mark.parametrize("body", [b"[]", b"{}", json.dumps({"Type": ["x"]}).encode(), b"hello"])
async def test_what_is_no_sns_message(hooks: Listening, body: bytes) -> None:
    """Anything else is 400."""
    check_problem(await hooks.post(body, content_type="text/plain"), 400)
