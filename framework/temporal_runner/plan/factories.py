"""What a config names is called only where it says that it is there for that.

A class that can be what is wanted is, and so is a function that declares what it returns. To call
anything else, to see what comes of it, would run an activity that lacks its decorator.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Self, get_type_hints

from temporal_runner.plan.imports import DefinitionError, telling


def is_asynchronous(found: Any) -> bool:
    """Whether a call of it gives something that wants to be awaited or run through."""
    asks = (
        inspect.iscoroutinefunction,
        inspect.isasyncgenfunction,
        inspect.isgeneratorfunction,
    )
    ways = [found, getattr(type(found), "__call__", None)]  # noqa: B004 - to be looked at
    if inspect.isroutine(found):
        ways.append(inspect.unwrap(found))
    return any(ask(way) for way in ways for ask in asks)


def declared_class(found: Any) -> type | None:
    """The class of what a call of it makes: itself, or what its return annotation says."""
    if inspect.isclass(found):
        return found
    if isinstance(found, functools.partial):
        return declared_class(found.func)
    function = found if inspect.isroutine(found) else getattr(type(found), "__call__", None)  # noqa: B004
    try:
        declared = get_type_hints(function).get("return")
    except Exception:  # what the annotations name is not there: the user's code
        return None
    if declared is Self:
        declared = getattr(found, "__self__", None)
    return declared if inspect.isclass(declared) else None


def call(make: Callable[[], Any], target: str) -> Any:
    """What a class or a factory makes.

    Raises:
        DefinitionError: It raises, or takes arguments.
    """
    try:
        with telling(f"making what {target} gives"):
            return make()
    except (Exception, SystemExit) as error:
        raise DefinitionError(
            f"{target} cannot be called without arguments: {type(error).__name__}: {error}"
        ) from error
