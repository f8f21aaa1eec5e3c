"""What a worker's section names: workflows, activities, and the SDK's own extensions."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from types import FunctionType, ModuleType
from typing import Any

from temporal_runner.plan.factories import call, declared_class, is_asynchronous
from temporal_runner.plan.imports import DefinitionError, home_of, import_target
from temporal_runner.plan.sdk_internals import (
    activity_type,
    inherits_workflow,
    is_copied_workflow,
    workflow_type,
)

_NO_DEFINITION = "@activity.defn is missing"
_NOT_READ = (property, cached_property)


def members(holder: Any) -> Iterator[tuple[str, Any]]:
    """What an object has and says it has, by name; what cannot be read is no definition.

    What a property gives is not asked for: that would run it.
    """
    for name in sorted(dir(holder)):
        try:
            if not isinstance(inspect.getattr_static(holder, name, None), _NOT_READ):
                yield name, getattr(holder, name)
        except (Exception, SystemExit):  # noqa: S112 - a descriptor, a __getattr__: the user's code
            continue


def _defined_in(module: ModuleType, type_of: Callable[[Any], str | None]) -> list[Any]:
    """The definitions that are a module's own, and not imported into it; each once."""
    found = {
        id(item): item
        for name, item in members(module)
        if type_of(item) is not None and not home_of(item, name, module)
    }
    return list(found.values())


def workflows_of(target: str) -> list[type]:
    """The workflow class that a target names, or all that its module defines.

    Raises:
        DefinitionError: It is no workflow, or the module has none.
    """
    found = import_target(target)
    if inspect.ismodule(found):
        classes: list[type] = _defined_in(found, _workflow_type)
        if not classes:
            raise DefinitionError(f"{target} defines no workflow (a class with @workflow.defn)")
        return classes
    if _workflow_type(found) is None:
        raise DefinitionError(f"{target} is no workflow: {why_no_workflow(found)}")
    return [found]


def _workflow_type(found: Any) -> str | None:
    return workflow_type(found) if inspect.isclass(found) else None


def why_no_workflow(found: Any) -> str:
    """What a class lacks that is no workflow."""
    if inspect.isclass(found) and is_copied_workflow(found):
        return "a decorator above @workflow.defn made another class of it: put that one below"
    if inspect.isclass(found) and inherits_workflow(found):
        return "it inherits one, and has no @workflow.defn of its own"
    return "it has no @workflow.defn"


def activities_of(target: str) -> list[Callable[..., Any]]:
    """The activity that a target names, or all of its module, or all methods of its object.

    Raises:
        DefinitionError: It is no activity, or there is none in it.
    """
    found = import_target(target)
    if inspect.ismodule(found):
        functions: list[Callable[..., Any]] = _defined_in(found, bare_activity_type)
        if not functions:
            raise DefinitionError(f"{target} defines no activity (a function with @activity.defn)")
        return functions
    if inspect.isclass(found) or activity_type(found) is None:
        return _activities_of_object(found, target)
    if _is_unbound(found, target):
        owner = target.rpartition(".")[0] if "." in target.partition(":")[2] else "its class"
        raise DefinitionError(f"{target} is a method without its object: name {owner}")
    return [found]


def _activities_of_object(found: Any, target: str) -> list[Callable[..., Any]]:
    is_maker = inspect.isroutine(found) or isinstance(found, type | partial)
    if is_maker:
        made = declared_class(found)
        if is_asynchronous(found) or made is None or not has_activities(made):
            raise DefinitionError(f"{target} is no activity: {_no_activity(found, made)}")
        found = call(found, target)
    methods = _activities_within(found)
    if not methods:
        why = f"what it makes, a {type(found).__name__}, has none" if is_maker else "it has none"
        raise DefinitionError(f"{target} is no activity: it has no @activity.defn, and {why}")
    return methods


def _no_activity(found: Any, made: type | None) -> str:
    if inspect.isclass(found):
        return f"{_NO_DEFINITION} on its methods"
    if made is not None and made is not type(None):
        return f"{_NO_DEFINITION} (and {made.__name__}, which it returns, has no activities)"
    hint = "a function that makes an object of activities says so: -> ItsClass"
    return f"{_NO_DEFINITION} ({hint})"


def _activities_within(holder: Any) -> list[Callable[..., Any]]:
    """The activity methods of an object, or itself where a call of it is one."""
    if activity_type(holder) is not None and not inspect.isclass(holder):
        return [holder]
    found = {id(item): item for _, item in members(holder) if bare_activity_type(item) is not None}
    return list(found.values())


def has_activities(owner: type) -> bool:
    """Whether an object of a class has activities, as far as the class tells."""
    return activity_type(owner) is not None or any(
        activity_type(item) is not None for _, item in members(owner) if callable(item)
    )


def bare_activity_type(item: Any) -> str | None:
    """The activity type of what can be called as it is: no class, and no method of one."""
    if inspect.isclass(item) or not callable(item) or _is_unbound(item):
        return None
    return activity_type(item)


def _is_unbound(found: Any, target: str = "") -> bool:
    """Whether it is a method that was reached through its class, and lacks its object."""
    if not inspect.isfunction(found):
        return False
    path, _, name = target.rpartition(".")
    if ":" in path:
        owner = import_target(path)
    else:
        owner = sys.modules.get(found.__module__)
        *parts, name = found.__qualname__.split(".")
        for part in parts:
            owner = getattr(owner, "__dict__", {}).get(part)
    raw = inspect.getattr_static(owner, name, None) if inspect.isclass(owner) else None
    return isinstance(raw, FunctionType)


def extension_of(target: str, wanted: type) -> Any:
    """The interceptor, plugin, converter … that a target names: an instance, or what makes one.

    Its option says that a function is there to be called; one that says that it makes something
    else, or an activity, is not.

    Raises:
        DefinitionError: It is not that.
    """
    found = import_target(target)
    if isinstance(found, wanted):
        return found
    made = found
    if callable(found):
        declared = declared_class(found)
        if is_asynchronous(found) or activity_type(found) is not None:
            raise DefinitionError(f"{target} is no function that returns a {wanted.__name__}")
        of_wanted = declared is None or issubclass(declared, wanted)
        if not of_wanted and (inspect.isclass(found) or not issubclass(wanted, declared or object)):
            name = getattr(declared, "__name__", "")
            raise DefinitionError(f"{target} gives a {name}, not a {wanted.__name__}")
        made = call(found, target)
    if not isinstance(made, wanted):
        raise DefinitionError(f"{target} gives a {type(made).__name__}, not a {wanted.__name__}")
    return made


def factory_of(target: str) -> Callable[[], Any]:
    """The function that a target names, not called yet.

    Raises:
        DefinitionError: It cannot be called, or is no function that makes something.
    """
    found = import_target(target)
    if not callable(found):
        raise DefinitionError(f"{target} is no function: it is a {type(found).__name__}")
    if is_asynchronous(found) or activity_type(found) is not None:
        raise DefinitionError(f"{target} is no function that returns what is wanted at once")
    factory: Callable[[], Any] = found
    return factory


def exception_of(target: str) -> type[BaseException]:
    """The exception class that a target names.

    Raises:
        DefinitionError: It is no exception class.
    """
    found = import_target(target)
    if not (inspect.isclass(found) and issubclass(found, BaseException)):
        raise DefinitionError(f"{target} is no exception class")
    return found
