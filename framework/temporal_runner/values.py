"""The value types that options are written in: durations, sizes and secrets.

Config sections and plugins' option models use them alike, so that `30s` means the same everywhere.
"""

from __future__ import annotations

import errno
import hmac
import os
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from temporal_runner.showing import remember

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+"
_SIZE_UNITS = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
_SIZE_UNITS |= {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = r"[0-9]+(?:\.[0-9]+)?(?:B|kB|MB|GB|KiB|MiB|GiB)"
_LARGEST_SIZE = 2**63 - 1
_LONGEST_SECRET = 1024 * 1024
"""Bytes of a secret's file."""


class Options(BaseModel):
    """The base for a plugin's option model: unknown keys are errors, instances are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse_duration(text: object) -> timedelta:
    """Read a duration such as `500ms`, `30s`, `10m` or `1h30m`; zero may be a bare `0`.

    Raises:
        PydanticCustomError: A ValueError; the text is not a duration.
    """
    if isinstance(text, timedelta):
        return text
    if text in (0, "0") and not isinstance(text, bool):
        return timedelta()
    if not isinstance(text, str) or not re.fullmatch(_DURATION, text):
        raise PydanticCustomError(
            "duration", "a duration has a number and a unit, such as 500ms, 30s, 10m or 1h30m"
        )
    parts = re.findall(r"([0-9.]+)(ms|s|m|h|d)", text)
    try:
        return timedelta(
            seconds=sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)
        )
    except OverflowError:
        raise PydanticCustomError("duration", "the duration is too long") from None


def format_duration(duration: timedelta | float) -> str:
    """Write a duration (a timedelta, or seconds) as `parse_duration` reads it, for people."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    parts = [(whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def parse_size(text: object) -> int:
    """Read a size such as `256KiB` or `1MB` into bytes; a bare number is bytes.

    Raises:
        PydanticCustomError: A ValueError; the text is not a size.
    """
    written = f"{text}B" if isinstance(text, int) and not isinstance(text, bool) else text
    if isinstance(written, str) and re.fullmatch("[0-9]+", written):
        written += "B"
    if not isinstance(written, str) or not re.fullmatch(_SIZE, written):
        raise PydanticCustomError(
            "size", "a size has a number and a unit, such as 512B, 256KiB, 1MB or 2MiB"
        )
    number = re.match(r"[0-9.]+", written)
    assert number is not None
    size = Decimal(number[0]) * _SIZE_UNITS[written[number.end() :]]
    if size > _LARGEST_SIZE:
        raise PydanticCustomError("size", "the size is too large")
    return int(size)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": f"^(0|{_DURATION})$", "examples": ["500ms", "30s"]}
    ),
]
"""A length of time, zero or more: `500ms`, `30s`, `10m`, `1h30m`, `7d`."""


def _longer_than_zero(duration: timedelta) -> timedelta:
    if not duration:
        raise PydanticCustomError("duration", "must be longer than 0")
    return duration


PositiveDuration = Annotated[Duration, AfterValidator(_longer_than_zero)]
"""A length of time longer than zero."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": f"^{_SIZE}$"},
            ],
            "examples": ["256KiB", "1MB"],
        }
    ),
]
"""A number of bytes: `512B`, `256KiB`, `1MB`."""


def read_text(file: Path, most: int, encoding: str = "utf-8") -> str:
    """A text file; one that never ends, such as /dev/zero, is no reason to take all memory.

    Args:
        file: The file.
        most: Bytes that it may have.
        encoding: Its encoding.

    Raises:
        OSError: It cannot be read, or is too large.
        ValueError: It is no text, or the path is none.
    """
    with file.open("rb") as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes")
    return content.decode(encoding)


def read_secret(file: Path) -> str:
    """What a secret's file holds, less the line's end that editors put there.

    Raises:
        OSError: It cannot be read, or is too large.
        ValueError: It is no text, or the path is none.
    """
    return read_text(file, _LONGEST_SECRET).removesuffix("\n")


class Secret:
    """A value that must not be shown: prints as `***` wherever it goes, until `reveal` is called.

    In a config it is the text itself (mostly `${VAR}`), `{from_env: NAME}`, or
    `{from_file: PATH}` (read when the config loads; one trailing newline is dropped).
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text
        remember(text)

    def reveal(self) -> str:
        """The value itself: hand it to the library that needs it, and to nothing else."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            other._text.encode(), self._text.encode()
        )

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def _read(cls, written: Any) -> Secret:
        match written:
            case Secret():
                return written
            case str() if written:
                return cls(written)
            case {"from_env": str(name), **rest} if not rest:
                if not os.environ.get(name):
                    raise PydanticCustomError(
                        "absent_secret",
                        "the environment variable {name} is not set",
                        {"name": name},
                    )
                return cls(os.environ[name])
            case {"from_file": str(path), **rest} if not rest:
                try:
                    text = read_secret(Path(path))
                except (OSError, ValueError) as error:
                    reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
                    raise PydanticCustomError(
                        "absent_secret",
                        "cannot read the secret's file {path}: {reason}",
                        {"path": path, "reason": reason},
                    ) from None
                if not text:
                    raise PydanticCustomError(
                        "secret", "the secret's file {path} is empty", {"path": path}
                    )
                return cls(text)
        raise PydanticCustomError(
            "secret",
            "a secret is a text (in quotes, and not empty), {hint}",
            {"hint": "{from_env: NAME} or {from_file: PATH}"},
        )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        def one(key: str) -> dict[str, Any]:
            return {
                "type": "object",
                "properties": {key: {"type": "string"}},
                "required": [key],
                "additionalProperties": False,
            }

        return {
            "title": "Secret",
            "anyOf": [{"type": "string", "minLength": 1}, one("from_env"), one("from_file")],
        }
