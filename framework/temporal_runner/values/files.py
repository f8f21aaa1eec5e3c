"""Reads small files: of one that never ends no more than a bound."""

from __future__ import annotations

import errno
from pathlib import Path


def read_bytes(file: Path, most: int) -> bytes:
    """A small file; one that never ends, such as /dev/zero, is no reason to take all memory.

    Args:
        file: The file.
        most: Bytes that it may have.

    Raises:
        OSError: It cannot be read, or is too large.
        ValueError: The path is none.
    """
    with file.open("rb") as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes")
    return content


def read_text(file: Path, most: int, encoding: str = "utf-8") -> str:
    """The same as text.

    Args:
        file: The file.
        most: Bytes that it may have.
        encoding: Its encoding.

    Raises:
        OSError: It cannot be read, or is too large.
        ValueError: It is no text, or the path is none.
    """
    return read_bytes(file, most).decode(encoding)
