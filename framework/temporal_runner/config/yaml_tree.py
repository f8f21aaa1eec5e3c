"""YAML text to a tree of values that each know their file, line and column.

PyYAML reads YAML 1.1, takes the last of two equal keys and knows no positions of values. This
module keeps its fast composer and corrects the three: scalars are YAML 1.2's (`no` and `22:22`
are strings), equal keys are problems, every value has a `Spot`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from temporal_runner.config.problems import Loc, Problem, Spot
from temporal_runner.values.wording import one_line

try:
    from yaml import CBaseLoader as Loader
except ImportError:  # PyYAML without libyaml: the same result, slower
    from yaml import BaseLoader as Loader  # type: ignore[assignment]

_MOST_VALUES = 200_000
"""Aliases can multiply a small file without bound; no config for people is larger than this."""
_DEEPEST = 100
"""Levels of mappings and lists; the JSON reader that checks the values takes 200."""
_OPENERS = re.compile(r"[\[{?-]")
_UNQUOTED = re.compile(r"[\[{,:]\s*\$\{")
_LONGEST_NUMBER = 1000
"""Digits; Python itself refuses to read a number of more than 4300."""

_CONSTANTS = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")

_TAGS = {
    "scalar": "tag:yaml.org,2002:str",
    "sequence": "tag:yaml.org,2002:seq",
    "mapping": "tag:yaml.org,2002:map",
}
"""What a value without a tag of its own is given."""

Scalar = str | int | float | bool | None


@dataclass(slots=True)
class Node:
    """A value of the config and where it stands.

    Attributes:
        value: A scalar, a mapping of nodes or a list of nodes.
        spot: Where the value begins.
        key: Where its key stands, for an entry of a mapping.
        plain: A scalar written without quotes.
        source_text: The scalar's text as written, where environment variables were put into it.
        bad: What is wrong with the value is reported already.
    """

    value: Scalar | dict[str, Node] | list[Node]
    spot: Spot
    key: Spot | None = None
    plain: bool = False
    source_text: str | None = None
    bad: bool = False

    def data(self) -> Any:
        """The value without positions."""
        if isinstance(self.value, dict):
            return {key: node.data() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.data() for node in self.value]
        return self.value

    def child(self, step: object) -> Node | None:
        """The entry under a key or an index, if there is one."""
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None

    def follow(self, loc: Sequence[int | str]) -> tuple[Node, Loc]:
        """The deepest node on the way that `loc` describes, and the steps that led there.

        Steps that are no key or index here (names of union members, which pydantic adds) are
        passed over.
        """
        node, steps = self, []
        for step in loc:
            child = node.child(step)
            if child is not None:
                node = child
                steps.append(step)
        return node, tuple(steps)

    def children(self) -> Iterable[Node]:
        """The entries of a mapping or a list."""
        if isinstance(self.value, dict):
            return self.value.values()
        return self.value if isinstance(self.value, list) else ()

    def nodes(self) -> Iterator[Node]:
        """This node and every one below it."""
        yield self
        for node in self.children():
            yield from node.nodes()

    def scalars(self) -> Iterator[Node]:
        """Every scalar at and below this node."""
        return (node for node in self.nodes() if not isinstance(node.value, dict | list))


def resolve_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar by YAML 1.2's core schema.

    What JSON has no number for stays a text: `.inf`, `.nan` and what is too large.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text, 0) if text.startswith("0") and text[1:2] in ("o", "x") else int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def compose(text: str, file: Path, problems: list[Problem]) -> Node | None:
    """Read one YAML document.

    Args:
        text: The document.
        file: Its file, for the spots.
        problems: What is wrong with it is added here.

    Returns:
        The tree, or None where the text is not YAML at all.
    """
    try:
        deep = _too_deep(text)
        if deep is not None:
            spot = Spot(file, deep.line + 1, deep.column + 1)
            problems.append(Problem(spot, "", f"nested more than {_DEEPEST} deep"))
            return None
        root = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if error.context_mark and "unexpected end" in str(error.problem):
            mark = error.context_mark  # a quote that is never closed: show where it opens
        spot = Spot(file, mark.line + 1, mark.column + 1) if mark else Spot(file, 1, 1)
        context = f"{error.context}: " if error.context else ""
        hint = _hint(text, mark)
        problems.append(Problem(spot, "", f"not valid YAML: {context}{error.problem}{hint}"))
        return None
    except yaml.reader.ReaderError as error:
        before = text[: error.position].splitlines() or [""]
        spot = Spot(file, len(before), len(before[-1]) + 1)
        message = f"not valid YAML: the character #x{error.character:02x} is not allowed"
        problems.append(Problem(spot, "", message))
        return None
    except yaml.YAMLError as error:
        problems.append(Problem(Spot(file, 1, 1), "", f"not valid YAML: {one_line(error)}"))
        return None
    if root is None:
        problems.append(Problem(Spot(file, 1, 1), "", "the file is empty"))
        return None
    try:
        return _Converter(file, problems).convert(root)
    except _Unreadable as error:
        problems.append(error.problem)
        return None


def _too_deep(text: str) -> Any:
    """Where values nest too deeply, if they do: the composer would overrun the stack there."""
    if len(_OPENERS.findall(text)) <= _DEEPEST and " " * _DEEPEST not in text:
        return None
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                return event.start_mark
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def _hint(text: str, mark: yaml.Mark | None) -> str:
    """What two common mistakes look like to YAML, in words."""
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if line.startswith("\t"):
        return "; YAML is indented with spaces, not tabs"
    if _UNQUOTED.search(line):
        return "; between [ ] or { } a text with ${ in it needs quotes"
    return ""


class _Unreadable(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class _Converter:
    def __init__(self, file: Path, problems: list[Problem]) -> None:
        self._file = file
        self._problems = problems
        self._open: set[int] = set()
        """The mappings and lists that the value being converted stands in."""
        self._count = 0

    def convert(self, node: Any, key: Spot | None = None) -> Node:
        spot = Spot(self._file, node.start_mark.line + 1, node.start_mark.column + 1)
        self._count += 1
        if self._count > _MOST_VALUES:
            raise _Unreadable(Problem(spot, "", f"more than {_MOST_VALUES} values (aliases?)"))
        if id(node) in self._open:
            raise _Unreadable(Problem(spot, "", "an alias stands within its own anchor"))
        if len(self._open) > _DEEPEST:
            raise _Unreadable(Problem(spot, "", f"nested more than {_DEEPEST} deep"))
        if node.tag != _TAGS[node.id]:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._problems.append(Problem(spot, "", f"the tag {tag} is not supported"))
        if isinstance(node, yaml.ScalarNode):
            plain = not node.style
            value = resolve_scalar(node.value) if plain else node.value
            return Node(value, spot, key, plain)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return Node([self.convert(item) for item in node.value], spot, key)
            return Node(self._mapping(node), spot, key)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: list[dict[str, Node]] = []
        for key_node, value_node in node.value:
            spot = Spot(self._file, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                self._problems.append(Problem(spot, "", "a key must be a text"))
                continue
            key = key_node.value
            value = self.convert(value_node, spot)
            if key == "<<" and not key_node.style:
                merged += self._merged(value)
            elif key in entries:
                first = entries[key].key
                assert first is not None
                message = f"the key {key!r} stands twice, first in line {first.line}"
                self._problems.append(Problem(spot, "", message))
            else:
                entries[key] = value
        for base in merged:
            entries = {**base, **entries}
        return entries

    def _merged(self, value: Node) -> list[dict[str, Node]]:
        nodes = value.value if isinstance(value.value, list) else [value]
        mappings = [node.value for node in nodes if isinstance(node.value, dict)]
        if len(mappings) < len(nodes):
            self._problems.append(Problem(value.spot, "", "<< takes a mapping or a list of them"))
        return mappings
