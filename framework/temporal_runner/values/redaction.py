"""What may be shown: texts without secrets, and without characters that a terminal obeys.

Secrets do not print (`values.Secret`). This is the second line of defence, for the words of others:
a server that repeats the key that it refuses, a vendor's SDK that shows the request that failed.
What leaves the process for people (the log, errors, /status, reasons) passes through `redacted`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

_SHORTEST = 8
"""Characters; a shorter secret would star out words that have nothing to do with it."""
_SHORTEST_LINE = 24
"""Characters of one line of a longer secret, such as a private key, that show it."""
_PART = re.compile(r"(?:key|signature|password|secret|token|\bsig)=([^;&\s]+)", re.IGNORECASE)
"""A part of a connection string, or of a shared access signature, that is a secret by itself."""
_OF_ENVIRONMENT = re.compile(
    r"(?:SECRET|TOKEN|PASSW(?:OR)?D|CREDENTIALS?|CONNECTION_STRING|(?:API|ACCESS|ACCOUNT|PRIVATE)_KEY)"
    r"(?!.*_(?:FILE|PATH|URI|URL|ID)$)"
)
_IN_URL = re.compile(
    r"(?<=://)[^\s/@\"']+(?=@)"
    r"|(?P<name>[?&](?:sig|signature|code|key|api-?key|token|access_token|secret|password"
    r"|X-Amz-Signature|X-Amz-Security-Token)=)[^&\s\"'<>]+",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_known: set[str] = set()
"""Of the process: a secret must not show in any line that leaves it, whoever writes that."""


def remember(text: str) -> None:
    """From now on show `***` where this text would stand, and where its parts would."""
    if text.startswith("${"):
        return  # a variable that could not be put in: it says where the secret is
    for part in {text, *_PART.findall(text), *_lines(text)}:
        if len(part) >= _SHORTEST:
            _known.update((part, quote(part), quote(part, safe=""), json.dumps(part)[1:-1]))


def _lines(text: str) -> Iterator[str]:
    """The lines of a text of several, less those that say what it is (-----BEGIN …)."""
    if "\n" in text:
        for line in map(str.strip, text.splitlines()):
            if len(line) >= _SHORTEST_LINE and not line.startswith("-----"):
                yield line


def remember_environment(environ: Mapping[str, str]) -> None:
    """Remember the values of variables that are named as secrets are: SDKs read them themselves."""
    for name, value in environ.items():
        if _OF_ENVIRONMENT.search(name.upper()):
            remember(value)


def redacted(text: str) -> str:
    """A text with `***` for each secret in it, and for users and signatures in URLs."""
    if _known:
        text = _pattern(frozenset(_known)).sub("***", text)
    return _IN_URL.sub(_without_value, text) if "=" in text or "@" in text else text


def redacted_within(value: Any) -> Any:
    """The same for every text in a JSON value."""
    match value:
        case str():
            return redacted(value)
        case dict():
            return {key: redacted_within(entry) for key, entry in value.items()}
        case list() | tuple():
            return [redacted_within(item) for item in value]
    return value


def printable(text: str) -> str:
    """A text on one line that no terminal takes for commands: a sender's words, for people."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_lines(text: str) -> str:
    """Several lines: those after the first are indented, so that none looks like another first."""
    return "\n    ".join(map(printable, text.split("\n")))


def _without_value(found: re.Match[str]) -> str:
    return f"{found['name'] or ''}***"


@lru_cache(maxsize=2)
def _pattern(known: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(known, key=len, reverse=True))))
