"""What resolving any section takes: do one thing, or report it at its place and go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from temporal_runner.config.load import LoadedConfig
from temporal_runner.config.problems import Loc
from temporal_runner.config.validate import check
from temporal_runner.config.yaml_tree import Node
from temporal_runner.plan.definitions import extension_of
from temporal_runner.plan.imports import DefinitionError, two_files
from temporal_runner.plan.records import DEFAULT_CONNECTION
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.values.wording import suggest

T = TypeVar("T")


class Resolver:
    """Looks up what a config names, and adds what is wrong to its problems.

    Attributes:
        loaded: The config.
        settings: Its valid part.
        catalog: The installed plugins.
    """

    def __init__(self, loaded: LoadedConfig, catalog: Catalog) -> None:
        self.loaded = loaded
        self.settings = loaded.settings
        self.catalog = catalog
        self._doubled: set[str] = set()

    def connection_name(self, name: str | None, loc: Loc) -> str:
        """The connection that the section at `loc` uses; empty for `temporal`."""
        if name is None:
            return DEFAULT_CONNECTION
        known = self.settings.connections
        if name not in known:
            hint = suggest(name, known, otherwise=f"known: {', '.join(known) or 'none'}")
            self.loaded.problem((*loc, "connection"), f"unknown connection {name!r}{hint}")
        return name

    def options(self, model: type[BaseModel], loc: Loc) -> BaseModel:
        """The options at `loc` as the plugin's own model."""
        node, steps = self.loaded.tree.follow(loc)
        if steps != loc:
            node = Node({}, node.spot, node.key)
        unlisted = None if model.model_config.get("extra") else "forbid"
        options, problems, _ = check(model, node, loc, unlisted=unlisted)
        self.loaded.problems += problems
        return model.model_construct() if options is None else options

    def attempt(self, find: Callable[[], T], loc: Loc) -> T | None:
        """What is found; None where it is not what it should be."""
        try:
            return find()
        except DefinitionError as error:
            self.loaded.problem(loc, str(error))
            return None

    def find(self, target: str, find: Callable[[str], T], loc: Loc) -> T | None:
        """What a target names; a module of which there are two is told of once."""
        found = self.attempt(lambda: find(target), loc)
        if (doubled := two_files(target)) and doubled not in self._doubled:
            self._doubled.add(doubled)
            self.loaded.problem(loc, doubled, severity="warning")
        return found

    def has_errors_since(self, before: int) -> bool:
        """Whether one of the problems after the first so many is an error."""
        return any(problem.severity == "error" for problem in self.loaded.problems[before:])

    def each(self, targets: Sequence[str], find: Callable[[str], T], loc: Loc) -> list[T]:
        """What is found for each entry of the list at `loc`, less what is not sound."""
        found = []
        for index, target in enumerate(targets):
            item = self.find(target, find, (*loc, index))
            if item is not None:
                found.append(item)
        return found

    def extensions(self, targets: Sequence[str], what: Any, loc: Loc) -> list[Any]:
        """The SDK's interceptors or plugins in the list at `loc`."""
        return self.each(targets, lambda target: extension_of(target, what), loc)
