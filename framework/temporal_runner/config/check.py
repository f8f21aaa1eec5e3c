"""A tree against a pydantic model: the instance, or problems with their places.

Serves our own models and plugins' option models alike, and adds what pydantic cannot know: where
a value stands, what an unknown key may have meant, and that a value out of the environment is a
text until the model wants something else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from temporal_runner.config.positions import Node, resolve_scalar
from temporal_runner.config.report import Problem, dotted

Model = TypeVar("Model", bound=BaseModel)
Loc = tuple[int | str, ...]

_SCALAR_ERRORS = {"int_type", "float_type", "bool_type", "int_from_float"}
_MESSAGES = {
    "missing": "is required",
    "string_type": "must be a text: put it in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "model_type": "must be a mapping (key: value)",
    "dict_type": "must be a mapping (key: value)",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "set_type": "must be a list",
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
            errors = error.errors(include_url=False, include_context=True)
        if not _convert_variables(tree, errors, converted):
            break
    problems, locs = [], []
    for details in _one_a_place(tree, errors):
        node, steps = tree.follow(details["loc"])
        locs.append(steps or tuple(details["loc"]))
        if not node.bad:
            problems.append(_problem(model, node, steps, details, base))
    return None, problems, locs


def _convert_variables(tree: Node, errors: list[Any], converted: set[int]) -> bool:
    """Read values that came out of the environment as numbers where numbers are wanted."""
    changed = False
    for details in errors:
        node, _ = tree.follow(details["loc"])
        if (
            details["type"] in _SCALAR_ERRORS
            and node.written is not None
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
    seen = set()
    for details, place in zip(errors, places, strict=True):
        deeper = any(len(other) > len(place) and other[: len(place)] == place for other in places)
        if details["type"] == "extra_forbidden" or details["type"] == "missing":
            yield details
        elif place not in seen and not (deeper and details["type"] == "literal_error"):
            seen.add(place)
            yield details


def _problem(model: type[BaseModel], node: Node, steps: Loc, details: Any, base: Loc) -> Problem:
    kind, loc = details["type"], tuple(details["loc"])
    if kind == "extra_forbidden":
        known = list(_known_keys(model, steps[:-1]))
        near = get_close_matches(str(loc[-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(set(known)))}"
        message = f"unknown option; {hint}"
        return Problem(node.key or node.spot, dotted(base + steps), message, key_only=True)
    if kind == "missing":
        spot = node.key or node.spot
        return Problem(spot, dotted((*base, *steps, loc[-1])), _MESSAGES["missing"])
    return Problem(node.spot, dotted(base + steps), _message(node, details))


def _message(node: Node, details: Any) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind in {"literal_error", "enum"}:
        choices = str(context["expected"])
        near = get_close_matches(f"'{node.value}'", choices.replace(" or ", ", ").split(", "), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"must be one of {choices}{hint}"
    message = _MESSAGES.get(kind)
    if message is None:
        text = str(details["msg"]).removeprefix("Value error, ").removeprefix("Input ")
        message = text[:1].lower() + text[1:]
    if node.written is not None and isinstance(node.value, str) and node.value:
        # What the environment holds may be a secret: say what the file says.
        message = message.replace(node.value, node.written)
    if node.written is not None:
        message += f" (it comes from {node.written})"
    return message


def _known_keys(model: type[BaseModel], steps: Loc) -> Iterator[str]:
    """The keys that the model knows for the mapping at these steps."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})

    def branches(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "$ref" in part:
            part = {**part, **definitions[part["$ref"].rsplit("/", 1)[-1]]}
        yield part
        for union in ("anyOf", "oneOf", "allOf"):
            for member in part.get(union, []):
                yield from branches(member)

    parts = [schema]
    for step in steps:
        below = []
        for part in (branch for one in parts for branch in branches(one)):
            if isinstance(step, int):
                below.append(part.get("items"))
            elif step in part.get("properties", {}):
                below.append(part["properties"][step])
            else:
                below.append(part.get("additionalProperties"))
        parts = [part for part in below if isinstance(part, dict)]
    for part in parts:
        for branch in branches(part):
            yield from branch.get("properties", {})
