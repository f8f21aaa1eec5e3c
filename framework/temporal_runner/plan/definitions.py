"""Imports what a worker's section names: workflows, activities, and the SDK's own extensions.

Only user code is imported here, from the config's `import_paths` and the installed packages.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

from temporal_runner.plan.sdk_internals import activity_type, workflow_type
from temporal_runner.values.wording import suggest

_STANDARD_LIBRARY = sysconfig.get_path("stdlib")


class DefinitionError(Exception):
    """What the config names does not import, or is not what it should be."""


def add_import_paths(paths: Sequence[str]) -> None:
    """Put folders at the front of the import path, in their order."""
    for path in reversed(paths):
        if path not in sys.path:
            sys.path.insert(0, path)


def import_target(target: str) -> Any:
    """The object that "package.module:name" names, or the module that "package.module" does.

    Raises:
        DefinitionError: It does not import, or is not there.
    """
    module_name, _, name = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise DefinitionError(
                f"there is no module {error.name!r}: check the spelling and import_paths"
            ) from None
        raise DefinitionError(f"{module_name} does not import: {error}") from error
    # The module is the user's code: whatever it raises when imported is the user's to mend.
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}{_last_line_of_user(error)}"
        raise DefinitionError(f"{module_name} does not import: {what}") from error
    for part in name.split(".") if name else []:
        try:
            found = getattr(found, part)
        except AttributeError:
            hint = suggest(part, dir(found))
            raise DefinitionError(f"there is no {part!r} in {module_name}{hint}") from None
        except Exception as error:  # a module's own __getattr__ is the user's code too
            raise DefinitionError(
                f"{target} cannot be read: {type(error).__name__}: {error}"
            ) from error
    return found


def _members(holder: Any, wanted: Callable[[Any], bool]) -> Iterator[Any]:
    """What an object has and says it has, by name; what cannot be read is no definition."""
    for name in sorted(dir(holder)):
        try:
            item = getattr(holder, name)
        except Exception:  # noqa: S112 - a property, or a module's __getattr__: the user's code
            continue
        if wanted(item):
            yield item


def _defined_in(
    module: ModuleType, wanted: Callable[[Any], bool], type_of: Callable[[Any], str | None]
) -> list[Any]:
    """The definitions that are a module's own, and not imported into it."""
    return [
        item
        for item in _members(module, wanted)
        if item.__module__ == module.__name__ and type_of(item) is not None
    ]


def _last_line_of_user(error: BaseException) -> str:
    """The last line of the user's own code that led to the error."""
    frames = extract_tb(error.__traceback__)
    files = [frame for frame in frames if not frame.filename.startswith(("<", __file__))]
    own = [frame for frame in files if "site-packages" not in Path(frame.filename).parts]
    own = [frame for frame in own if not frame.filename.startswith(_STANDARD_LIBRARY)]
    last = (own or files)[-1:]
    return f" ({last[0].filename}:{last[0].lineno})" if last else ""


def workflows_of(target: str) -> list[type]:
    """The workflow class that a target names, or all that its module defines.

    Raises:
        DefinitionError: It is no workflow, or the module has none.
    """
    found = import_target(target)
    if inspect.ismodule(found):
        classes: list[type] = _defined_in(found, inspect.isclass, workflow_type)
        if not classes:
            raise DefinitionError(f"{target} defines no workflow (a class with @workflow.defn)")
        return classes
    if not inspect.isclass(found) or workflow_type(found) is None:
        raise DefinitionError(f"{target} is no workflow: it has no @workflow.defn")
    return [found]


def activities_of(target: str) -> list[Callable[..., Any]]:
    """The activity that a target names, or all of its module, or all methods of its object.

    Raises:
        DefinitionError: It is no activity, or there is none in it.
    """
    found = import_target(target)
    if inspect.ismodule(found):
        functions: list[Callable[..., Any]] = _defined_in(found, inspect.isroutine, activity_type)
        if not functions:
            raise DefinitionError(f"{target} defines no activity (a function with @activity.defn)")
        return functions
    if activity_type(found) is not None:
        return [found]
    holder = _called(found, target)
    methods = [item for item in _members(holder, callable) if activity_type(item) is not None]
    if not methods:
        raise DefinitionError(f"{target} is no activity: it has no @activity.defn")
    return methods


def extension_of(target: str, wanted: type) -> Any:
    """The interceptor, plugin, converter … that a target names: an instance, or what makes one.

    Raises:
        DefinitionError: It is not that.
    """
    found = import_target(target)
    made = found if isinstance(found, wanted) else _called(found, target)
    if not isinstance(made, wanted):
        raise DefinitionError(f"{target} gives a {type(made).__name__}, not a {wanted.__name__}")
    return made


def factory_of(target: str) -> Callable[[], Any]:
    """The function that a target names, not called yet.

    Raises:
        DefinitionError: It cannot be called.
    """
    found = import_target(target)
    if not callable(found):
        raise DefinitionError(f"{target} is no function: it is a {type(found).__name__}")
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


def _called(found: Any, target: str) -> Any:
    """What a class or a function makes; anything else is itself."""
    if not callable(found):
        return found
    try:
        return found()
    except Exception as error:
        raise DefinitionError(
            f"{target} cannot be called without arguments: {type(error).__name__}: {error}"
        ) from error
