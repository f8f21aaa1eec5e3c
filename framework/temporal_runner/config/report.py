"""What is wrong with a config, each with its place, reported all at once.

configs/prod.yaml:14:7  listeners.uploads.options.queue_ur: unknown option; did you mean queue_url?
14 |       queue_ur: …
|       ^
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from temporal_runner.errors import UsageError

_SECRET_KEY = re.compile(
    r"(secret|password|passwd|token|credential|api_?key|access_?key|private|client_key|sas|auth"
    r"|connection_string)\w*['\"]?\s*:\s*(?P<value>\S.*)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """A place in a file; lines and columns count from 1."""

    file: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{_shown(self.file)}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        spot: Where; None where no place in a file is to blame.
        path: The value's dotted path in the config, such as `workers.chat.task_queue`.
        message: What is wrong and, where it is known, the next step.
        severity: A warning does not stop the runner.
        key_only: The caret stands under a key whose value is not to be shown.
    """

    spot: Spot | None
    path: str
    message: str
    severity: Literal["error", "warning"] = "error"
    key_only: bool = False

    def __str__(self) -> str:
        place = f"{self.spot}  " if self.spot else ""
        warning = "warning: " if self.severity == "warning" else ""
        path = f"{self.path}: " if self.path else ""
        return f"{place}{warning}{path}{self.message}{self._excerpt()}"

    def _excerpt(self) -> str:
        if self.spot is None:
            return ""
        lines = _lines(self.spot.file)
        if not 1 <= self.spot.line <= len(lines):
            return ""
        line = _without_secret(lines[self.spot.line - 1], self.key_only, self.spot.column)
        if not line.strip():
            return ""
        number = str(self.spot.line)
        caret = " " * (self.spot.column - 1) + "^"
        return f"\n    {number} | {line}\n    {' ' * len(number)} | {caret}"


class ConfigError(UsageError):
    """The config cannot be used.

    Attributes:
        problems: All that is wrong with it, warnings included, in the order of the file.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems in the order in which a reader of the files meets them, each once."""
    first = Spot(Path(), 0, 0)
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.spot or first))


def dotted(loc: Sequence[int | str]) -> str:
    """A path such as `listeners.uploads.routes[0].when`."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _without_secret(line: str, key_only: bool, column: int) -> str:
    """The source line, less what may be a secret that somebody wrote into the file."""
    if key_only:
        head, colon, _ = line[column - 1 :].partition(":")
        return f"{line[: column - 1]}{head}{colon} …"
    found = _SECRET_KEY.search(line)
    if found and not found["value"].startswith(("${", '"${', "'${", "{", "#")):
        return line[: found.start("value")] + "***"
    return line


@cache
def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _shown(file: Path) -> Path:
    try:
        return file.relative_to(Path.cwd())
    except ValueError:
        return file
