"""What is wrong with a config, each with its place, reported all at once.

configs/prod.yaml:14:7  listeners.uploads.options.queue_ur: unknown option; did you mean queue_url?
14 |       queue_ur: …
|       ^
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from temporal_runner.errors import UsageError
from temporal_runner.values.redaction import redacted

_SENSITIVE = (
    r"secret|passw|pwd|token|credential|private|\bsas|sas_|\bauth(?!o?r\b)|connection_string"
    r"|\bdsn\b|(?:api|access|account|client|encryption|hmac|shared|signing)_?key|grpc_meta"
)
_SECRET_NAME = re.compile(_SENSITIVE, re.IGNORECASE)
_SECRET_ENTRY = re.compile(
    rf"(?:{_SENSITIVE})[\w.-]*['\"]?\s*:(?:\s+(?P<value>\S.*)|\s*)$", re.IGNORECASE
)
_VARIABLE = r"['\"]?\$\{\w+(?::?\?[^{}]*)?\}['\"]?"
_REFERENCE = r"\{\s*from_(?:env|file)\s*:[^,{}]*\}"
_NO_SECRET = re.compile(rf"({_VARIABLE}|{_REFERENCE}|[|>][-+]?)\s*[,}}\]]*\s*(#.*)?")
"""What may be shown though a secret's key stands before it: it says where the secret is."""
_COMPONENT = re.compile(r"^(?:workers|listeners|connections)\.[^.]*")
_DEFAULT = re.compile(rf"(\$\{{\w*(?:{_SENSITIVE})\w*:?[-+])[^{{}}]+", re.IGNORECASE)
_USER_INFO = re.compile(r"[^\s/:@'\"]*:[^\s/@'\"]+@")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WIDEST = 100
"""Characters of a line that are shown."""
_LOOKED_AT = 2000
"""Characters around a spot that are searched for secrets: of a longer line, too, the search takes
no longer."""

Loc = tuple[int | str, ...]
"""The keys and indexes that lead to a value."""


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
        absent: A variable or a secret's file that is missing in this process's environment.
    """

    spot: Spot | None
    path: str
    message: str
    severity: Literal["error", "warning"] = "error"
    key_only: bool = False
    absent: bool = False

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
        before, after = self._shown_line(lines)
        if not (before + after).strip():
            return ""
        if len(before) > _WIDEST:
            before = "…" + before[-_WIDEST // 2 :]
        if len(after) > _WIDEST:
            after = after[:_WIDEST] + "…"
        number = str(self.spot.line)
        margin = f"    {' ' * len(number)} | "
        return f"\n    {number} | {before}{after}\n{margin}{' ' * len(before)}^"

    def _shown_line(self, lines: Sequence[str]) -> tuple[str, str]:
        """The source line up to the spot and from it on, less what may be a secret in the file."""
        assert self.spot is not None
        line = _UNPRINTABLE.sub(" ", lines[self.spot.line - 1])
        before, after = line[: self.spot.column - 1], line[self.spot.column - 1 :]
        entry = _SECRET_ENTRY.search(before)
        if entry and entry["value"]:
            # Only where the YAML is sound is it sure that the secret ends before the spot.
            before = before[: entry.start("value")] + "*** "
            after = after if self.path else "***"
        if self.key_only:
            key, _, _ = after.partition(":")
            after = f"{key}: …"
        elif (entry and not entry["value"]) or self._within_secret(lines):
            after = after if _NO_SECRET.fullmatch(after) else "***"
        else:
            found = _SECRET_ENTRY.search(after)
            if found and found["value"] and not _NO_SECRET.fullmatch(found["value"]):
                after = after[: found.start("value")] + "***"
        # What is cut off here is far from what is shown: a secret that it cuts in two, too.
        return masked(before[-_LOOKED_AT:]), masked(after[:_LOOKED_AT])

    def _within_secret(self, lines: Sequence[str]) -> bool:
        """Whether the value, or a key around it, has a name that secrets have."""
        assert self.spot is not None
        if self.path:
            return is_secret_name(_COMPONENT.sub("", self.path))
        return any(_SECRET_ENTRY.search(line) for line in _lines_around(lines, self.spot.line - 1))


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


def is_secret_name(name: str) -> bool:
    """Whether what has this name, or dotted path, may be a secret."""
    return _SECRET_NAME.search(name) is not None


def masked(text: str) -> str:
    """A text without passwords in URLs and without defaults of variables that hold secrets."""
    return _DEFAULT.sub(r"\1***", _USER_INFO.sub("***@", redacted(text)))


def _lines_around(lines: Sequence[str], index: int) -> Iterator[str]:
    """The lines whose keys the value in a line belongs to, told by their indentation."""
    item, depth = _indentation(lines[index])
    for line in reversed(lines[:index]):
        if not line.strip() or depth < 0:
            continue
        is_item, indentation = _indentation(line)
        # The items of a list may stand as deep as the key that they belong to.
        if indentation < depth or (indentation == depth and item and not is_item):
            yield line
            item, depth = is_item, indentation
        if depth == 0 and not item:
            return


def _indentation(line: str) -> tuple[bool, int]:
    text = line.lstrip()
    return text.startswith("- "), len(line) - len(text)


def _lines(file: Path) -> Sequence[str]:
    try:
        return _lines_of(file, file.stat().st_mtime_ns)
    except (OSError, ValueError):
        return ()


@lru_cache(maxsize=20)
def _lines_of(file: Path, changed: int) -> Sequence[str]:
    return file.read_text(encoding="utf-8-sig").splitlines()


def _shown(file: Path) -> Path:
    try:
        return file.relative_to(Path.cwd())
    except ValueError:
        return file
