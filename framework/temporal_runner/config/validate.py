"""A tree against a pydantic model: the instance, or problems with their places.

Serves our own models and plugins' option models alike, and adds what pydantic cannot know: where
a value stands, what an unknown key may have meant, and that a value out of the environment is a
text until the model wants something else.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from temporal_runner.config.problems import Loc, Problem, dotted, is_secret_name, masked
from temporal_runner.config.yaml_tree import Node, resolve_scalar
from temporal_runner.values.secrets import read_secret
from temporal_runner.values.wording import nearest, suggest

Model = TypeVar("Model", bound=BaseModel)

_SCALAR_ERRORS = {"int_type", "float_type", "bool_type", "int_from_float"}
_DEFAULT = re.compile(r"(:?[-+])[^{}]+(?=\})")
_OUTER_ERRORS = {"literal_error", "too_short"}
_MESSAGES = {
    "missing": "is required",
    "string_type": "must be a text: put it in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "model_type": "must be a mapping (key: value)",
    "dict_type": "must be a mapping (key: value)",
    "tuple_type": "must be a list (- one, or [one, two])",
    "list_type": "must be a list (- one, or [one, two])",
    "set_type": "must be a list (- one, or [one, two])",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}


def check(
    model: type[Model], tree: Node, base: Loc, *, unlisted: str | None = "forbid"
) -> tuple[Model | None, list[Problem], list[Loc]]:
    """Validate a tree.

    Args:
        model: What it should be.
        tree: What it is.
        base: The path of `tree` in the whole config, for the problems' paths.
        unlisted: "forbid" makes unknown keys errors; None leaves that to the model.

    Returns:
        The instance (None where there are problems), the problems, and the path (from `tree`) of
        the value that each is about.
    """
    converted: set[int] = set()
    while True:
        data = json.dumps(tree.data())
        try:
            extra: Any = unlisted
            return model.model_validate_json(data, strict=True, extra=extra), [], []
        except ValidationError as error:
            errors = error.errors(include_url=False, include_context=True, include_input=False)
        # A plugin's validator is foreign code: it may raise what pydantic does not expect of one.
        except Exception as error:
            message = _without_secrets(tree, base, f"{type(error).__name__}: {error}")
            problem = Problem(tree.spot, dotted(base), f"{model.__name__} fails with {message}")
            return None, [problem], [()]
        if not _convert_variables(tree, errors, converted):
            break
    problems, locs = [], []
    meant = _meant_keys(model, tree, errors)
    for details in _one_a_place(tree, errors):
        node, steps = tree.follow(details["loc"])
        locs.append(steps or tuple(details["loc"]))
        misspelt = details["type"] == "missing" and (*steps, details["loc"][-1]) in meant.values()
        if not node.bad and not misspelt:
            problems.append(_problem(model, tree, node, steps, details, base, meant))
    return None, problems, locs


def _meant_keys(model: type[BaseModel], tree: Node, errors: list[Any]) -> dict[Loc, Loc]:
    """For each unknown key the known one that was probably meant, if there is one."""
    meant: dict[Loc, Loc] = {}
    for details in errors:
        if details["type"] == "extra_forbidden":
            _, steps = tree.follow(details["loc"])
            siblings = _keys(tree, steps[:-1])
            known = [key for key in _known_keys(model, tree, steps) if key not in siblings]
            if near := nearest(str(details["loc"][-1]), known):
                meant[steps] = (*steps[:-1], near)
    return meant


def _convert_variables(tree: Node, errors: list[Any], converted: set[int]) -> bool:
    """Read values that came out of the environment as numbers where numbers are wanted."""
    changed = False
    for details in errors:
        node, _ = tree.follow(details["loc"])
        if (
            details["type"] in _SCALAR_ERRORS
            and node.source_text is not None
            and isinstance(node.value, str)
            and id(node) not in converted
        ):
            converted.add(id(node))
            node.value = resolve_scalar(node.value)
            changed = True
    return changed


def _one_a_place(tree: Node, errors: list[Any]) -> Iterator[Any]:
    """Of the errors of a union's members the one that fits what was written."""
    places = [tree.follow(details["loc"])[1] for details in errors]
    around = {place[:depth] for place in places for depth in range(len(place))}
    seen = set()
    for details, place in zip(errors, places, strict=True):
        if details["type"] == "extra_forbidden" or details["type"] == "missing":
            yield details
        # What is wrong further in is the cause, or is what was written of a union's members.
        elif place not in seen and not (place in around and details["type"] in _OUTER_ERRORS):
            seen.add(place)
            yield details


def _problem(
    model: type[BaseModel],
    tree: Node,
    node: Node,
    steps: Loc,
    details: Any,
    base: Loc,
    meant: dict[Loc, Loc],
) -> Problem:
    kind, loc = details["type"], tuple(details["loc"])
    if kind == "extra_forbidden":
        if steps in meant:
            hint = f"did you mean {meant[steps][-1]}?"
        else:
            known = sorted(set(_known_keys(model, tree, steps)))
            hint = f"known are {', '.join(known)}" if known else "there are none here"
        message = f"unknown option; {hint}"
        return Problem(node.key or node.spot, dotted(base + steps), message, key_only=True)
    if kind == "missing":
        spot = node.key or node.spot
        return Problem(spot, dotted((*base, *steps, loc[-1])), _MESSAGES["missing"])
    message = _message(node, base + steps, details)
    return Problem(node.spot, dotted(base + steps), message, absent=kind == "absent_secret")


def _message(node: Node, loc: Loc, details: Any) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind in {"literal_error", "enum"}:
        choices = str(context["expected"])
        hint = suggest(f"'{node.value}'", choices.replace(" or ", ", ").split(", "))
        return f"must be one of {choices}{hint}"
    message = _MESSAGES.get(kind)
    if message is None:
        text = str(details["msg"])
        for prefix in ("Value error, ", "Assertion failed, ", "Input "):
            text = text.removeprefix(prefix)
        text = _without_secrets(node, loc, text)
        message = text if text[1:2].isupper() else text[:1].lower() + text[1:]
    if node.value is None and kind in _MESSAGES:
        message += ", and is empty"
    if node.source_text is not None:
        message += f" (it comes from {_shown(node.source_text, loc)})"
    return message


def _without_secrets(node: Node, loc: Loc, message: str) -> str:
    """A validator's message, with what may be a secret as the file has it, or as ***."""
    for hidden, shown in _secrets(node, loc):
        message = message.replace(hidden, shown)
    return message


def _secrets(node: Node, loc: Loc) -> Iterator[tuple[str, str]]:
    """Values that no message may show, each with what it shows instead.

    What comes out of the environment may be a secret, and so may what stands under its name.
    """
    if isinstance(node.value, dict):
        for key, entry in node.value.items():
            yield from _secrets(entry, (*loc, key))
    elif isinstance(node.value, list):
        for item in node.value:
            yield from _secrets(item, loc)
    elif isinstance(node.value, str) and node.value:
        if loc[-1:] == ("from_env",):
            yield os.environ.get(node.value) or "***", "***"
        elif loc[-1:] == ("from_file",):
            yield _contents(Path(node.value)) or "***", "***"
        elif node.source_text is not None:
            yield node.value, _shown(node.source_text, loc)
        elif is_secret_name(dotted(loc)):
            yield node.value, "***"


def _shown(source_text: str, loc: Loc) -> str:
    """A text with variables in it: their names say where a secret is, their defaults may be it."""
    return masked(
        _DEFAULT.sub(r"\1***", source_text) if is_secret_name(dotted(loc)) else source_text
    )


def _contents(file: Path) -> str:
    try:
        return read_secret(file)
    except (OSError, ValueError):
        return ""


@lru_cache(maxsize=20)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _keys(tree: Node, steps: Loc) -> dict[str, Node]:
    """What is written in the mapping at these steps."""
    node, _ = tree.follow(steps)
    return node.value if isinstance(node.value, dict) else {}


def _known_keys(model: type[BaseModel], tree: Node, unknown: Loc) -> Iterator[str]:
    """The keys that the model knows beside an unknown one."""
    schema = _schema(model)
    definitions = schema.get("$defs", {})

    def branches(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "$ref" in part:
            part = {**part, **definitions[part["$ref"].rsplit("/", 1)[-1]]}
        yield part
        for union in ("anyOf", "oneOf", "allOf"):
            for member in part.get(union, []):
                yield from branches(member)

    parts = [schema]
    for step in unknown[:-1]:
        below = []
        for part in (branch for one in parts for branch in branches(one)):
            if isinstance(step, int):
                below.append(part.get("items"))
            elif step in part.get("properties", {}):
                below.append(part["properties"][step])
            else:
                below.append(part.get("additionalProperties"))
        parts = [part for part in below if isinstance(part, dict)]
    siblings = _keys(tree, unknown[:-1])
    members = [branch for part in parts for branch in branches(part) if "properties" in branch]
    for branch in [one for one in members if _fits(one, siblings, unknown[-1])] or members:
        yield from branch["properties"]


def _fits(branch: dict[str, Any], siblings: dict[str, Node], unknown: int | str) -> bool:
    """Whether it is this member of a union that finds a key unknown in what is written."""
    properties = branch["properties"]
    return (
        unknown not in properties
        and siblings.keys() >= set(branch.get("required", ()))
        and all(
            "const" not in known or key not in siblings or siblings[key].value == known["const"]
            for key, known in properties.items()
        )
    )
