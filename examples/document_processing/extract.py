"""Has a file read by `document_processing.readers`, in a process that is killed when it hangs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from document_processing.documents import Failure

LONGEST = 120.0
"""Seconds that reading a file may take."""


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """What a file holds.

    Attributes:
        media_type: What it is.
        text: Its text.
        pages: Its pages, where its format has such.
    """

    media_type: str
    text: str
    pages: int | None = None


async def extract(file: Path, name: str, *, longest: float = LONGEST) -> Extracted | Failure:
    """Read a file.

    Args:
        file: The file.
        name: The document's name.
        longest: Seconds after which it counts as damaged.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "document_processing.readers", str(file), name),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # The runner's `import_paths` are this process's alone.
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    try:
        async with asyncio.timeout(longest):
            output, errors = await process.communicate()
    except TimeoutError:
        return Failure(kind="damaged", reason=f"reading it took more than {longest:g} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        reason = f"its reader ended with {process.returncode}: {last}"[:500]
        return Failure(kind="damaged", reason=reason)
    answer = json.loads(output)
    if "failure" in answer:
        return Failure(**answer["failure"])
    return Extracted(**answer["extracted"])
