"""A config file to one tree: reads it, puts variables in, lays it over what it extends.

prod.yaml -> load() -> RunnerConfig -> make_plan() -> Plan -> run(plan)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from temporal_runner.config.model import RunnerConfig
from temporal_runner.config.problems import ConfigError, Loc, Problem, dotted
from temporal_runner.config.routes import TEMPLATES
from temporal_runner.config.validate import check
from temporal_runner.config.variables import Kind, MissingVariableError, VariableError, substitute
from temporal_runner.config.yaml_tree import Node, compose
from temporal_runner.values.files import read_text

_PATH_LISTS = ("plugins", "import_paths")
_PATH_KEYS = ("from_file", "binary")
_NAMED_SECTIONS = ("workers", "listeners", "connections")
_LARGEST_FILE = 10 * 1024 * 1024
"""Bytes; no config for people is larger."""


@dataclass(slots=True)
class LoadedConfig:
    """A config file as far as its own models can judge it.

    Attributes:
        file: The file that was asked for.
        tree: The merged values with their positions.
        settings: The valid part: entries with errors in them are left out, so that the rest can
            still be checked.
        problems: What was found so far, warnings included.
    """

    file: Path
    tree: Node
    settings: RunnerConfig
    problems: list[Problem] = field(default_factory=list)

    def problem(self, loc: Loc, message: str, *, at_key: bool = False, **how: Any) -> None:
        """Add a problem at the value that `loc` names (or at the nearest one around it).

        Args:
            loc: Which value.
            message: What is wrong with it.
            at_key: Its key is to blame.
            how: The problem's other attributes.
        """
        node, _ = self.tree.follow(loc)
        if not node.bad:
            spot = node.key or node.spot if at_key else node.spot
            self.problems.append(Problem(spot, dotted(loc), message, **how))

    def of_worker(self, name: str) -> LoadedConfig:
        """What one worker needs of it, to be run once and alone."""
        worker = self.settings.workers[name].model_copy(update={"processes": 1})
        alone = {"workers": {name: worker}, "listeners": {}, "admin": None}
        settings = self.settings.model_copy(update=alone)
        assert isinstance(self.tree.value, dict)
        sections = {key: node for key, node in self.tree.value.items() if key not in alone}
        return LoadedConfig(self.file, Node(sections, self.tree.spot), settings)


def load(path: Path, environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """Read a config file, with no network and no import.

    Args:
        path: The file.
        environ: The environment variables; the process's own by default.

    Raises:
        ConfigError: The file, or one that it extends, cannot be read as a mapping at all. Errors
            in single values are in the result's `problems`.
    """
    reading = _Reading(os.environ if environ is None else environ)
    file = Path(os.path.abspath(path))  # noqa: PTH100 - symbolic links keep their own name
    tree = _read(file, reading, chain=())
    if tree is None:
        raise ConfigError([*reading.problems, *(problem for _, problem in reading.of_values)])
    _drop_removed(tree)
    reading.keep_what_is_about(tree)
    settings = _check_in_parts(tree, reading.problems)
    return LoadedConfig(file, tree, settings, reading.problems)


@dataclass(slots=True)
class _Reading:
    """What all files of one config share while they are read.

    Attributes:
        environ: The environment variables.
        problems: What was found so far.
        of_values: What was found in values that another file may yet replace, or remove.
    """

    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    of_values: list[tuple[Node, Problem]] = field(default_factory=list)

    def keep_what_is_about(self, tree: Node) -> None:
        """These values stand: what was found in them is a problem."""
        standing = {id(node) for node in tree.scalars()}
        self.problems += [problem for node, problem in self.of_values if id(node) in standing]


def _read(file: Path, reading: _Reading, chain: tuple[Path, ...]) -> Node | None:
    """One file over the files that it extends; None where it is no readable mapping."""
    problems = reading.problems
    try:
        text = read_text(file, _LARGEST_FILE, "utf-8-sig")
    except FileNotFoundError:
        problems.append(Problem(None, "", f"there is no config file {file}"))
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        problems.append(Problem(None, "", f"cannot read the config file {file}: {reason}"))
        return None
    tree = compose(text, file, problems)
    if tree is None:
        return None
    if not isinstance(tree.value, dict):
        problems.append(Problem(tree.spot, "", "a config is a mapping (key: value)"))
        return None
    _substitute(tree, reading)
    _resolve_paths(tree, file.parent)
    extends = tree.value.pop("extends", None)
    if extends is None:
        return tree
    return _over_bases(tree, extends, reading, (*chain, file))


def _over_bases(
    tree: Node, extends: Node, reading: _Reading, chain: tuple[Path, ...]
) -> Node | None:
    problems = reading.problems
    reading.keep_what_is_about(extends)
    named = extends.value if isinstance(extends.value, list) else [extends]
    result: Node | None = None
    for base in named:
        if base.bad:
            continue
        if not isinstance(base.value, str):
            problems.append(Problem(base.spot, "extends", "must be a file's path, or a list"))
            continue
        file = Path(os.path.abspath(chain[-1].parent / base.value))  # noqa: PTH100
        if file in chain:
            names = " -> ".join(link.name for link in (*chain[chain.index(file) :], file))
            problems.append(Problem(base.spot, "extends", f"the files extend in a circle: {names}"))
            continue
        if not file.is_file():
            problems.append(Problem(base.spot, "extends", f"there is no file {file}"))
            continue
        node = _read(file, reading, chain)
        if node is not None:
            result = node if result is None else _overlay(result, node)
    return tree if result is None else _overlay(result, tree)


def _overlay(base: Node, over: Node) -> Node:
    """Mappings merge, everything else replaces."""
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        merged[key] = _overlay(merged[key], node) if key in merged else node
    return replace(over, value=merged)


def _drop_removed(tree: Node) -> None:
    """Drop entries set to null, which is how an overlay removes a worker it inherits."""
    for section in _NAMED_SECTIONS:
        node = tree.child(section)
        if node is not None and node.value is None:
            node.value = {}
        elif node is not None and isinstance(node.value, dict):
            node.value = {
                key: entry for key, entry in node.value.items() if entry.value is not None
            }


def _substitute(tree: Node, reading: _Reading) -> None:
    kinds = _kinds(tree)
    for node in tree.scalars():
        if not isinstance(node.value, str) or "${" not in node.value:
            continue
        source_text = node.value
        try:
            kind = kinds.get(id(node), Kind.TEXT)
            value, unset = substitute(source_text, reading.environ, kind)
        except VariableError as error:
            absent = isinstance(error, MissingVariableError)
            problem = Problem(node.spot, "", str(error), absent=absent)
            reading.of_values.append((node, problem))
            node.bad = True
            continue
        for name in unset:
            message = f"the environment variable {name} is not set, so it is empty here"
            problem = Problem(node.spot, "", message, severity="warning")
            reading.of_values.append((node, problem))
        if value != source_text:
            node.value, node.source_text = value, source_text


def _kinds(tree: Node) -> dict[int, Kind]:
    """Which values hold expressions, by their nodes' identity."""
    kinds: dict[int, Kind] = {}
    listeners = tree.child("listeners")
    for listener in listeners.children() if listeners else ():
        routes = listener.child("routes")
        for route in routes.children() if routes else ():
            for key in TEMPLATES:
                field = route.child(key)
                kinds |= {id(node): Kind.TEMPLATE for node in (field.scalars() if field else ())}
            when = route.child("when")
            if when is not None:
                kinds[id(when)] = Kind.EXPRESSION
    return kinds


def _resolve_paths(tree: Node, folder: Path) -> None:
    """Make relative paths relative to the file they are written in, which overlays would lose.

    A path is an entry of `plugins` or `import_paths`, or a value under `from_file`, `binary` or a
    key that ends in `_path` or `_file`; but not what a route hands to Temporal.
    """
    assert isinstance(tree.value, dict)
    for key in _PATH_LISTS:
        node = tree.value.get(key)
        for entry in node.value if node and isinstance(node.value, list) else []:
            _resolve_path(entry, folder)
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node.value, dict):
            for key, entry in node.value.items():
                if key in _PATH_KEYS or key.endswith(("_path", "_file")):
                    _resolve_path(entry, folder)
                if key != "routes":
                    pending.append(entry)
        elif isinstance(node.value, list):
            pending += node.value


def _resolve_path(node: Node, folder: Path) -> None:
    if isinstance(node.value, str) and node.value:
        # Unlike Path.expanduser, this leaves the home of a user who is not there as it is.
        node.value = os.path.normpath(folder / os.path.expanduser(node.value))  # noqa: PTH111


def _check_in_parts(tree: Node, problems: list[Problem]) -> RunnerConfig:
    """Validate all of it; then what is left without the entries that have errors."""
    while True:
        settings, found, bad = check(RunnerConfig, tree, ())
        problems += found
        if settings is not None:
            return settings
        if () in bad:  # about the file as a whole: no part of it is sound
            return RunnerConfig()
        tree = _without(tree, {_entry(tree, loc) for loc in bad})


def _entry(tree: Node, loc: Loc) -> tuple[str, ...]:
    """The smallest part that can be left out: a named worker, listener …, or a whole section."""
    depth = 2 if loc and loc[0] in _NAMED_SECTIONS and len(loc) > 1 else 1
    return tuple(str(step) for step in loc[:depth])


def _without(tree: Node, entries: set[tuple[str, ...]]) -> Node:
    assert isinstance(tree.value, dict)
    sections = dict(tree.value)
    for section, *name in entries:
        node = sections.get(section)
        if name and node is not None and isinstance(node.value, dict):
            rest = {key: entry for key, entry in node.value.items() if key != name[0]}
            sections[section] = replace(node, value=rest)
        else:
            sections.pop(section, None)
    return replace(tree, value=sections)
