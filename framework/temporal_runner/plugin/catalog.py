"""Finds, loads and indexes runner plugins, and explains what failed.

A plugin comes from an installed distribution (entry point group `temporal_runner`) or from a file
that the config names. A broken one hurts only the config that needs it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

import pluggy
from pydantic import BaseModel

from temporal_runner.errors import PluginError
from temporal_runner.plugin import hookspecs
from temporal_runner.plugin.sources import EventSourceKind
from temporal_runner.retry.backoff import BUILT_IN, BackoffKind
from temporal_runner.values.wording import one_line, suggest

Kind = TypeVar("Kind", EventSourceKind, BackoffKind)

OWN_EXTRAS = {name: f"temporal-runner[{name}]" for name in ("webhook", "s3", "azure")}
"""Our own source plugins: what to install when one is named and is not there."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a plugin came from.

    Attributes:
        name: The distribution's name, or the file's path.
        version: The distribution's version; empty for a file.
    """

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that did not load.

    Attributes:
        name: The entry point's name or the file's stem: most often that of what it declares.
        origin: Where it came from.
        cause: Why, as a line.
    """

    name: str
    origin: Origin
    cause: str

    def __str__(self) -> str:
        return f"the plugin {self.name!r} of {self.origin} does not load: {self.cause}"


@dataclass
class Index(Generic[Kind]):
    """The kinds of one sort by name, each with where it came from."""

    noun: str
    broken: list[BrokenPlugin]
    kinds: dict[str, tuple[Kind, Origin]] = field(default_factory=dict)

    def add(self, kind: Kind, origin: Origin) -> None:
        """Index a kind.

        Raises:
            PluginError: Its name is taken.
        """
        if kind.name in self.kinds:
            other = self.kinds[kind.name][1]
            raise PluginError(
                f"the {self.noun} {kind.name!r} is declared twice, by {other} and by {origin}:"
                " rename it in one of them, or do without that one"
            )
        self.kinds[kind.name] = (kind, origin)

    def get(self, name: str) -> Kind:
        """The kind of that name.

        Raises:
            PluginError: There is none; the message says what is known and what may be meant.
        """
        if name in self.kinds:
            return self.kinds[name][0]
        for plugin in self.broken:
            if plugin.name == name:
                raise PluginError(f"unknown {self.noun} {name!r}: {plugin}")
        message = f"unknown {self.noun} {name!r}{suggest(name, self.kinds)}"
        if self.noun == "event source" and name in OWN_EXTRAS:
            message += f"; install it with: pip install '{OWN_EXTRAS[name]}'"
        message += f" (known: {', '.join(sorted(self.kinds)) or 'none'})"
        # An entry point need not be called like what it declares: any of these may be the one.
        for plugin in self.broken:
            message += f"; {plugin}"
        raise PluginError(message)

    def build(self, name: str) -> Callable[..., Any]:
        """What builds the kind of that name, imported.

        Raises:
            PluginError: There is no such kind, or its build target does not import.
        """
        target = self.get(name).build
        try:
            return resolve(target)
        except PluginError as error:
            origin = self.kinds[name][1]
            raise PluginError(f"the {self.noun} {name!r} of {origin}: {error}") from error


class Catalog:
    """Everything that the installed and the named plugins declare.

    Attributes:
        sources: The event sources by name.
        strategies: The backoff strategies by name, the built-in ones included.
        broken: The plugins that did not load.
    """

    def __init__(self) -> None:
        self.broken: list[BrokenPlugin] = []
        self.sources: Index[EventSourceKind] = Index("event source", self.broken)
        self.strategies: Index[BackoffKind] = Index("backoff strategy", self.broken)
        own = Origin("temporal-runner", _version("temporal-runner"))
        for kind in BUILT_IN:
            self.strategies.add(kind, own)

    @classmethod
    def installed(cls) -> Catalog:
        """A catalog of what the installed distributions declare.

        Raises:
            PluginError: Two distributions declare one name.
        """
        catalog = cls()
        points = metadata.entry_points(group=hookspecs.PROJECT)
        for point in sorted(points, key=lambda point: (str(_origin(point)), point.name)):
            catalog._load(point.name, _origin(point), point.load)
        return catalog

    def add_file(self, path: Path) -> None:
        """Load an unpackaged plugin: one Python file with hook implementations.

        Raises:
            PluginError: It does not load, or declares a name that is taken.
        """
        failures = len(self.broken)
        self._load(path.stem, Origin(str(path)), lambda: _import_file(path))
        if len(self.broken) > failures:
            raise PluginError(str(self.broken.pop()))

    def _load(self, name: str, origin: Origin, load: Callable[[], object]) -> None:
        try:
            plugin = load()
            sources, strategies = _declared(plugin)
        # A plugin is foreign code: whatever it raises, also SystemExit, must not end the runner.
        except (Exception, SystemExit) as error:
            self.broken.append(BrokenPlugin(name, origin, _what(error)))
            return
        for source in sources:
            self.sources.add(source, origin)
        for strategy in strategies:
            self.strategies.add(strategy, origin)


def _declared(plugin: object) -> tuple[list[EventSourceKind], list[BackoffKind]]:
    """What one plugin's hooks yield. A manager of its own tells whose declaration each is."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        raise TypeError("it has no hook: functions marked with @hookimpl are what counts")
    return (
        _kinds(manager.hook.runner_event_sources, EventSourceKind),
        _kinds(manager.hook.runner_backoff_strategies, BackoffKind),
    )


def _kinds(hook: pluggy.HookCaller, kind: type[Kind]) -> list[Kind]:
    results = hook()
    if len(results) < len(hook.get_hookimpls()):  # pluggy drops None
        raise TypeError(f"{hook.name} returned None: it has to yield its kinds")
    declared = [record for result in results for record in result]
    for record in declared:
        if not isinstance(record, kind):
            raise TypeError(f"{hook.name} yielded a {type(record).__name__}, not a {kind.__name__}")
        if not (isinstance(record.name, str) and record.name):
            raise TypeError(f"{hook.name} yielded a {kind.__name__} without a name")
        if not (isinstance(record.options, type) and issubclass(record.options, BaseModel)):
            raise TypeError(f"the options of {record.name!r} are not a pydantic model")
    names = [record.name for record in declared]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise TypeError(f"{hook.name} yielded {', '.join(map(repr, twice))} twice")
    return declared


def _import_file(path: Path) -> object:
    # Two files of one name may lie in two folders.
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"temporal_runner_local_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def resolve(target: Callable[..., Any] | str) -> Callable[..., Any]:
    """The callable that a kind's `build` names: itself, or what "package.module:name" holds.

    Raises:
        PluginError: It does not import, or is not there, or cannot be called.
    """
    if callable(target):
        return target
    try:
        module, name = target.split(":")
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise PluginError(f"the build target {target!r} does not import: {_what(error)}") from error
    if not callable(found):
        raise PluginError(f"the build target {target!r} is not callable")
    return found


def _origin(point: metadata.EntryPoint) -> Origin:
    # A distribution whose metadata is damaged has no name.
    name = point.dist.name if point.dist else None
    return Origin(name, point.dist.version) if point.dist and name else Origin("?")


def _what(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
