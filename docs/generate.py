"""Writes docs/reference/config.md from the config's models: `make docs` runs it.

With --check it writes nothing and exits with 1 where the page is not what it would write.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticUndefined

from temporal_runner.config.fields import Address, ModuleOrTarget, Target
from temporal_runner.config.model import RunnerConfig
from temporal_runner.config.routes import ACTIONS
from temporal_runner.values.durations import Duration, format_duration
from temporal_runner.values.secrets import Secret
from temporal_runner.values.sizes import Size

PAGE = Path(__file__).parent / "reference" / "config.md"

INTRODUCTION = """\
# The config file

<!-- Written by docs/generate.py from the models in temporal_runner/config: edit those. -->

One YAML file says which workers to run and which outside events start, signal or update which
workflows. `runner validate CONFIG` reports all that is wrong with one, with file, line and column,
and without any network. `runner schema` prints its JSON Schema, the options of the installed
plugins included, for editors that complete and check as you type.

## Rules for the whole file

- **Scalars are YAML 1.2's**: `no`, `on` and `22:22` are texts, `true` and `false` are the only
  yes and no, `0o17` is octal. A key that stands twice is an error, and so is an unknown one.
- **`extends: base.yaml`** (or a list of files) lays this file over another: mappings merge, and
  everything else replaces. `NAME: null` removes a worker, listener or connection that the other
  file has. What is replaced or removed needs none of its variables.
- **`${VAR}`** in a value is an environment variable, put in when the file loads. By Docker
  Compose's rules: `${VAR:-default}` where it is unset or empty, `${VAR:?message}` where it must
  not be, `${VAR:+instead}` where it is set. Without the colon an empty variable counts as set. A
  default may hold variables again. `$${` is a literal `${`; `$VAR` without braces is left alone.
  In an expression a variable is a value, within quotes or as JSON, and never code: see
  [expressions](expressions.md#environment-variables).
  Where a number or a yes-or-no is wanted, the variable's text is read as one.
- **`${{ … }}`** in a route is an expression over the event, resolved for each event:
  see [expressions](expressions.md). `$${{` is a literal `${{`.
- **A duration** has numbers with units: `500ms`, `30s`, `10m`, `1h30m`, `7d`. **A size** is bytes,
  or has a unit: `512B`, `256KiB`, `1MB`.
- **A secret** is a text (mostly `${VAR}`), `{from_env: NAME}` or `{from_file: PATH}` (read when the
  file loads, less one newline at its end). It is shown as `***` wherever it goes.
- **A relative path** starts at the folder of the file that it is written in: the entries of
  `extends`, `plugins` and `import_paths`, and every value under `from_file`, `binary` or a key that
  ends in `_path` or `_file`; but not what a route hands to Temporal. The path of a file that the
  runner writes (`inbox.path`, `dead_letters.path`) starts at the working directory. A path may lead
  anywhere that the process can read: who writes the config is trusted. A secret's file has at most
  1 MiB, a config file 10 MiB.
- A worker and a listener must not have the same name: `runner start --only NAME` picks by it.
"""

_TYPES = {
    "duration": Duration,
    "size": Size,
    "secret": Secret,
    "host:port": Address,
    "module:name": Target,
    "module or module:name": ModuleOrTarget,
}
_NOTES = {"title", "description", "default"}


class Reference:
    """The models in the order in which a reader of the file meets them, with their places."""

    def __init__(self, root: type[BaseModel]) -> None:
        self.schema = root.model_json_schema()
        self.models = {model.__name__: model for model in _models(root)}
        self.places: dict[str, list[str]] = {root.__name__: []}
        self._find(self.schema, "")
        self._known = {_key(TypeAdapter(kind).json_schema()): name for name, kind in _TYPES.items()}

    def _find(self, definition: dict[str, Any], place: str) -> None:
        """Note where each section stands, breadth first, so that the nearest is its title."""
        pending = [(definition, place)]
        while pending:
            definition, place = pending.pop(0)
            for option, part in definition.get("properties", {}).items():
                below = f"{place}.{option}" if place else option
                for name, at in _references(part, below):
                    if name not in self.places:
                        self.places[name] = []
                        pending.append((self.schema["$defs"][name], at))
                    if at not in self.places[name]:
                        self.places[name].append(at)

    def title(self, name: str) -> str:
        """What a section is called: the first of its places."""
        if name == self.schema["title"]:
            return "Top level"
        fields = self.models[name].model_fields
        action = next((action for action in ACTIONS if action in fields), "")
        is_route = action and ".routes[]" in self.places[name][0]
        of_action = f" with {action}" if is_route and "when" in fields else ""
        return self.places[name][0] + of_action

    def sections(self) -> Iterator[str]:
        """Each model's section as Markdown."""
        for name in self.places:
            definition = self.schema if not self.places[name] else self.schema["$defs"][name]
            lines = [f"## {self.title(name)}", "", _text(definition.get("description", "")), ""]
            if others := self.places[name][1:]:
                places = ", ".join(f"`{place}`" for place in others)
                lines += [f"The same options are those of {places}.", ""]
            lines += ["| option | type | default | meaning |", "| --- | --- | --- | --- |"]
            required = definition.get("required", ())
            for option, part in definition["properties"].items():
                default = "required" if option in required else self._default(name, option)
                meaning = _text(part.get("description") or self._description(part))
                lines.append(f"| `{option}` | {self._type(part)} | {default} | {meaning} |")
            yield "\n".join(lines)

    def _type(self, part: dict[str, Any]) -> str:
        """A type in words."""
        if known := self._known.get(_key(part)):
            return known
        if "$ref" in part:
            title = self.title(part["$ref"].rsplit("/", 1)[-1])
            return f"[{title}](#{_anchor(title)})"
        if "enum" in part or "const" in part:
            return " · ".join(f"`{choice}`" for choice in part.get("enum") or [part["const"]])
        if members := part.get("anyOf") or part.get("oneOf"):
            kinds = [self._type(member) for member in members if member.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
        match part.get("type"):
            case "array":
                return f"list of {self._type(part['items'])}"
            case "object":
                inner = part.get("additionalProperties")
                return f"name: {self._type(inner)}" if isinstance(inner, dict) else "mapping"
            case "integer" | "number" as kind:
                return ("whole number" if kind == "integer" else "number") + _range(part)
            case "boolean":
                return "`true` · `false`"
            case "string":
                return "path" if part.get("format") == "path" else "text"
        return "any value"

    def _description(self, part: dict[str, Any]) -> str:
        for name, _ in _references(part, ""):
            return str(self.schema["$defs"][name].get("description", ""))
        return ""

    def _default(self, name: str, option: str) -> str:
        value = self.models[name].model_fields[option].get_default(call_default_factory=True)
        if value is None or value is PydanticUndefined or isinstance(value, BaseModel):
            return ""
        if isinstance(value, bool):
            return f"`{str(value).lower()}`"
        if isinstance(value, timedelta):
            return f"`{format_duration(value)}`"
        if isinstance(value, tuple | dict):
            return "" if not value else f"`{list(value)}`"
        return f"`{value}`"


def _models(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and every model that its fields name, at any depth."""
    pending: list[Any] = [root]
    seen: set[Any] = set()
    while pending:
        found = pending.pop()
        if isinstance(found, type) and issubclass(found, BaseModel) and found not in seen:
            seen.add(found)
            yield found
            pending += [field.annotation for field in found.model_fields.values()]
            pending += [item for field in found.model_fields.values() for item in field.metadata]
        pending += getattr(found, "__args__", ())


def _references(part: dict[str, Any], place: str) -> Iterator[tuple[str, str]]:
    """The sections that a value may be, each with its place."""
    if "$ref" in part:
        yield part["$ref"].rsplit("/", 1)[-1], place
    for member in (*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("allOf", ())):
        yield from _references(member, place)
    if isinstance(part.get("items"), dict):
        yield from _references(part["items"], f"{place}[]")
    if isinstance(part.get("additionalProperties"), dict):
        yield from _references(part["additionalProperties"], f"{place}.NAME")


def _key(part: dict[str, Any]) -> str:
    return str(sorted((key, str(value)) for key, value in part.items() if key not in _NOTES))


def _range(part: dict[str, Any]) -> str:
    words = {
        "minimum": "{} or more",
        "maximum": "up to {}",
        "exclusiveMinimum": "more than {}",
    }
    limits = [text.format(f"{part[key]:g}") for key, text in words.items() if key in part]
    return f" ({', '.join(limits)})" if limits else ""


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _anchor(title: str) -> str:
    kept = "".join(sign for sign in title.lower() if sign.isalnum() or sign in " -_")
    return kept.replace(" ", "-")


def config_reference() -> str:
    """The page."""
    return "\n\n".join([INTRODUCTION.rstrip(), *Reference(RunnerConfig).sections()]) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or with --check compare it."""
    page = config_reference()
    if "--check" in arguments:
        is_current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page
        if not is_current:
            sys.stderr.write(f"{PAGE.name} is stale: run `make docs`\n")
        return 0 if is_current else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
