"""Reads PEM as strictly as the SDK does, and says what stands there where it is none."""

from __future__ import annotations

import base64
import binascii
import re

_BLOCK = re.compile(
    rb"^-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)^-----END \1-----[ \t]*\r?$", re.M | re.S
)
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_KEYS = {b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY"}


class NotPem(Exception):
    """What should be a certificate or a key in PEM is none.

    Attributes:
        next_step: What somebody should do.
    """

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step


def certificates(content: bytes) -> bytes:
    """A text with one certificate or more.

    Raises:
        NotPem: It holds none, or one that is broken.
    """
    content = _pem(content, "openssl x509 -inform der -in FILE -out FILE.pem")
    labels = _labels(content)
    if b"CERTIFICATE" not in labels:
        if any(label.endswith(b"PRIVATE KEY") for label in labels):
            raise NotPem(
                "it holds a private key where a certificate should be",
                "exchange the certificate and its key",
            )
        raise NotPem(f"it holds no certificate ({_listed(labels)})", "give a certificate as PEM")
    _whole(content)
    return content


def private_key(content: bytes) -> bytes:
    """A text with a private key that needs no password.

    Raises:
        NotPem: It holds none, or one that is encrypted or broken.
    """
    content = _pem(content, "openssl pkey -inform der -in FILE -out FILE.pem")
    labels = _labels(content)
    if b"ENCRYPTED PRIVATE KEY" in labels or b"Proc-Type: 4,ENCRYPTED" in content:
        raise NotPem(
            "the private key is encrypted, and Temporal's SDK takes no password",
            "decrypt it with `openssl pkey -in KEY -out KEY.plain`, and let only the runner read"
            " the file",
        )
    if not _KEYS & labels:
        if b"CERTIFICATE" in labels:
            raise NotPem(
                "it holds a certificate where a private key should be",
                "exchange the certificate and its key",
            )
        raise NotPem(f"it holds no private key ({_listed(labels)})", "give the key as PEM (PKCS8)")
    _whole(content)
    return content


def _pem(content: bytes, convert: str) -> bytes:
    """The text less a byte order mark; what is no text with a PEM block is refused."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.strip():
        raise NotPem("it is empty", "give it as PEM: -----BEGIN …")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotPem("it is UTF-16 text", "save it as plain text (UTF-8)")
    if content[0] == 0x30 and not _BEGIN.search(content):
        raise NotPem("it is DER, and not PEM", f"convert it with `{convert}`")
    if not _BEGIN.search(content):
        raise NotPem("it is no PEM: no line is -----BEGIN …", "give it as PEM: -----BEGIN …")
    return content


def _labels(content: bytes) -> set[bytes]:
    return set(_BEGIN.findall(content))


def _listed(labels: set[bytes]) -> str:
    return ", ".join(sorted(label.decode() for label in labels))


def _whole(content: bytes) -> None:
    """Refuse blocks that the SDK would not read."""
    begun, whole = len(_BEGIN.findall(content)), _BLOCK.findall(content)
    if begun != len(whole):
        lines = content.strip().count(b"\n") + 1
        if lines == 1 or b"\\n" in content:
            raise NotPem(
                "its line breaks are lost", "give it with its lines, or as a file (…_path)"
            )
        raise NotPem(
            "a PEM block in it is cut short or indented",
            "give it whole: each -----BEGIN … and -----END … at the start of its own line",
        )
    wanted = [body for label, body in whole if label in _KEYS | {b"CERTIFICATE"}]
    if not any(_is_der(body) for body in wanted):
        raise NotPem("what stands between BEGIN and END is broken", "copy it anew, whole")


def _is_der(body: bytes) -> bool:
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        return False
    return len(der) >= 2 and der[0] == 0x30 and _ends(der)


def _ends(der: bytes) -> bool:
    """Whether the outermost DER value is as long as it says."""
    if der[1] < 0x80:
        return len(der) == 2 + der[1]
    length = der[1] & 0x7F
    return len(der) == 2 + length + int.from_bytes(der[2 : 2 + length], "big")
