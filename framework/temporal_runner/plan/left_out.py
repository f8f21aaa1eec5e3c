"""What the name of a module does not stand for, and would be missed without a word.

Definitions that are imported into it, and those that cannot be had from where they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from temporal_runner.plan.definitions import (
    bare_activity_type,
    has_activities,
    members,
    why_no_workflow,
)
from temporal_runner.plan.imports import home_of, import_target, is_within
from temporal_runner.plan.sdk_internals import activity_type, inherits_workflow, workflow_type


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A definition that the name of its module does not stand for.

    Attributes:
        keys: Those of its classes or functions; with one of them in a worker it is not left out.
        why: What it is, and how it is had.
    """

    keys: frozenset[int]
    why: str


def keys_of(items: Iterable[Any]) -> frozenset[int]:
    """What tells definitions that workers have: each itself, a method's function, its class."""
    items = list(items)
    return _keys(*items) | {id(type(item)) for item in items}


def _keys(*items: Any) -> frozenset[int]:
    return frozenset(id(getattr(item, "__func__", item)) for item in items)


def left_out_workflows(target: str) -> Iterator[LeftOut]:
    """The workflows that are in a module and that its name does not stand for."""
    module = import_target(target)
    for name, item in members(module) if inspect.ismodule(module) else ():
        if not inspect.isclass(item):
            continue
        if workflow_type(item) is None:
            if inherits_workflow(item) and is_within(item.__module__, module):
                yield LeftOut(_keys(item), f"{target}:{name} is left out: {why_no_workflow(item)}")
        elif home := home_of(item, name, module):
            yield LeftOut(_keys(item), _imported("workflow", name, home, target))


def left_out_activities(target: str) -> Iterator[LeftOut]:
    """The activities that are in a module and that its name does not stand for."""
    module = import_target(target)
    for name, item in members(module) if inspect.ismodule(module) else ():
        owner = item if inspect.isclass(item) else type(item)
        if bare_activity_type(item) is not None:
            if home := home_of(item, name, module):
                yield LeftOut(_keys(item), _imported("activity", name, home, target))
        elif inspect.isfunction(item):
            if activity_type(item) is not None:
                why = "it is a method without its object"
                yield LeftOut(_keys(item), f"{target}:{name} is left out: {why}")
            elif hidden := [cell for cell in _closure(item) if activity_type(cell) is not None]:
                why = "a decorator hides its @activity.defn: put @activity.defn above it"
                yield LeftOut(_keys(*hidden), f"{target}:{name} is left out: {why}")
        elif is_within(owner.__module__, module) and has_activities(owner):
            methods = [one for _, one in members(owner) if activity_type(one) is not None]
            why = f"an object's activities are had by its name: {target}:{name}"
            yield LeftOut(_keys(owner, *methods), f"{target}:{name} is left out: {why}")


def _closure(function: FunctionType) -> list[Any]:
    """What a function made by another keeps of it."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # empty yet
            continue
    return [item for item in found if callable(item)]


def _imported(noun: str, name: str, home: str, target: str) -> str:
    unused = "and no worker of this file has it"
    return (
        f"the {noun} {name} is imported into {target}, {unused}: name {home}:{name} if one should"
    )
