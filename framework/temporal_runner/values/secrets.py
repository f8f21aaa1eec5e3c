"""Secrets: values that options name and that nothing may show."""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from temporal_runner.values.files import read_text
from temporal_runner.values.redaction import remember

_LONGEST = 1024 * 1024
"""Bytes of a secret's file."""


def read_secret(file: Path) -> str:
    """What a secret's file holds, less the line's end that editors put there.

    Raises:
        OSError: It cannot be read, or is too large.
        ValueError: It is no text, or the path is none.
    """
    return read_text(file, _LONGEST).removesuffix("\n")


class Secret:
    """A value that must not be shown: prints as `***` wherever it goes, until `reveal` is called.

    In a config it is the text itself (mostly `${VAR}`), `{from_env: NAME}`, or
    `{from_file: PATH}` (read when the config loads; one trailing newline is dropped).
    """

    __slots__ = ("_file", "_text")

    def __init__(self, text: str, file: Path | None = None) -> None:
        self._text = text
        self._file = file
        remember(text)

    def reveal(self) -> str:
        """The value itself: hand it to the library that needs it, and to nothing else."""
        return self._text

    def fresh(self) -> str:
        """The value as its file holds it by now, for what is presented again and again.

        Raises:
            OSError: The file cannot be read any more.
            ValueError: It is no text, or empty.
        """
        if self._file is None:
            return self._text
        text = read_secret(self._file)
        if not text:
            raise ValueError("it is empty")
        remember(text)
        return text

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
    def _read(cls, raw: Any) -> Secret:
        match raw:
            case Secret():
                return raw
            case str() if raw:
                return cls(raw)
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
                return cls(text, Path(path))
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
