"""Numbers of bytes as options have them: `512B`, `256KiB`, `1MB`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
_UNITS |= {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = r"[0-9]+(?:\.[0-9]+)?(?:B|kB|MB|GB|KiB|MiB|GiB)"
_LARGEST = 2**63 - 1


def parse_size(text: object) -> int:
    """Read a size such as `256KiB` or `1MB` into bytes; a bare number is bytes.

    Raises:
        PydanticCustomError: A ValueError; the text is not a size.
    """
    size_text = f"{text}B" if isinstance(text, int) and not isinstance(text, bool) else text
    if isinstance(size_text, str) and re.fullmatch("[0-9]+", size_text):
        size_text += "B"
    if not isinstance(size_text, str) or not re.fullmatch(_SIZE, size_text):
        raise PydanticCustomError(
            "size", "a size has a number and a unit, such as 512B, 256KiB, 1MB or 2MiB"
        )
    number = re.match(r"[0-9.]+", size_text)
    assert number is not None
    size = Decimal(number[0]) * _UNITS[size_text[number.end() :]]
    if size > _LARGEST:
        raise PydanticCustomError("size", "the size is too large")
    return int(size)


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
