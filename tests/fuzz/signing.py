"""Messages as Amazon SNS signs them, with a key and a certificate of the tests' own."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

AMAZON = "127.0.0.1:1"
"""The host that stands for Amazon's: nothing listens there."""
CERTIFICATE = f"http://{AMAZON}/SimpleNotificationService-0123456789abcdef.pem"
SNS_TOPIC = "arn:aws:sns:eu-central-1:123456789012:orders"
_FIELDS = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn")


@cache
def _key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@cache
def sns_certificates() -> dict[str, x509.Certificate]:
    """The certificate by its URL, as if it had been fetched."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_key().public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(_key(), SHA256())
    )
    return {CERTIFICATE: certificate}


def sign_sns(body: bytes) -> bytes:
    """The body as a signed message, where it is an object; what it lacks is put in."""
    try:
        written: Any = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(written, dict):
        return body
    message = {
        "Type": "Notification",
        "MessageId": "1",
        "Message": "{}",
        **written,
        "TopicArn": SNS_TOPIC,
        "SignatureVersion": "2",
        "SigningCertURL": CERTIFICATE,
        "Timestamp": datetime.now(UTC).isoformat(),
    }
    signed = [name for name in (*_FIELDS, "Type") if isinstance(message.get(name), str)]
    if message["Type"] == "Notification":
        signed = [name for name in signed if name not in {"SubscribeURL", "Token"}]
    content = "".join(f"{name}\n{message[name]}\n" for name in signed)
    try:
        signature = _key().sign(content.encode(), PKCS1v15(), SHA256())
    except UnicodeEncodeError:
        return body
    message["Signature"] = base64.b64encode(signature).decode()
    return json.dumps(message).encode()
