"""The config's JSON Schema, with the options of each installed plugin where they belong.

It is for editors, which check a file as it is written: before variables are put in and before an
overlay lies over what it extends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from temporal_runner.config.model import RunnerConfig
from temporal_runner.plugin.catalog import Catalog

_NAMED = {"workers": "WorkerSettings", "listeners": "ListenerSettings"}
_SCALARS = {"integer", "number", "boolean", "string"}
_ABOUT = {"title", "description", "default"}
_VARIABLE = {"$ref": "#/$defs/variable"}


def json_schema(catalog: Catalog) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a config file.

    Args:
        catalog: Whose sources' and strategies' options are included.
    """
    schema = RunnerConfig.model_json_schema()
    definitions = schema["$defs"]
    sources = {name: kind.options for name, (kind, _) in catalog.sources.kinds.items()}
    strategies = {name: kind.options for name, (kind, _) in catalog.strategies.kinds.items()}
    models = {"source": sources, "strategy": strategies}
    for key, kinds in models.items():
        for name, model in kinds.items():
            _add_options(definitions, f"{key}.{name}", model)
    _choose(definitions["ListenerSettings"], "source", sources)
    _choose(definitions["RetrySettings"], "strategy", strategies)
    _choose(definitions["RestartSettings"], "strategy", strategies)
    _allow_variables(schema)
    # The rest is not a value of its own, and takes no variable.
    definitions["variable"] = {
        "description": "Environment variables: ${VAR}, ${VAR:-default}, ${VAR:?message}.",
        "type": "string",
        "pattern": r"\$\{",
    }
    _rules(definitions["ListenerSettings"], "source", sources)
    _rules(definitions["RetrySettings"], "strategy", strategies)
    _rules(definitions["RestartSettings"], "strategy", strategies)
    _allow_overlays(schema)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _add_options(definitions: dict[str, Any], at: str, model: type[BaseModel]) -> None:
    options = model.model_json_schema(ref_template=f"#/$defs/{at}.{{model}}")
    for inner, definition in options.pop("$defs", {}).items():
        definitions[f"{at}.{inner}"] = definition
    if not model.model_config.get("extra"):
        options["additionalProperties"] = False
    definitions[at] = options


def _choose(section: dict[str, Any], key: str, models: dict[str, type[BaseModel]]) -> None:
    section["properties"][key]["enum"] = sorted(models)


def _rules(section: dict[str, Any], key: str, models: dict[str, type[BaseModel]]) -> None:
    """Let the name under `key` decide the `options`."""
    section["allOf"] = [
        {
            "if": {"properties": {key: {"const": name}}, "required": [key]},
            "then": {"properties": {"options": {"$ref": f"#/$defs/{key}.{name}"}}},
        }
        for name in models
    ]


def _allow_variables(schema: dict[str, Any]) -> None:
    """Wherever a scalar may stand, let a text with a variable in it stand too."""
    for part in list(_parts(schema)):
        scalar = part.get("type") in _SCALARS or "enum" in part or "const" in part
        free_text = part.get("type") == "string" and not part.keys() & {
            "pattern",
            "enum",
            "const",
            "format",
        }
        if scalar and not free_text:
            scalar_form = {key: part.pop(key) for key in list(part) if key not in _ABOUT}
            part["anyOf"] = [scalar_form, _VARIABLE]


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema in a schema, the inner ones first."""
    for keyword in ("$defs", "properties", "patternProperties"):
        for inner in schema.get(keyword, {}).values():
            yield from _parts(inner)
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for inner in schema.get(keyword, []):
            yield from _parts(inner)
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from _parts(schema[keyword])
    yield schema


def _allow_overlays(schema: dict[str, Any]) -> None:
    """A file that extends another may leave out what that one has, and drop entries by null."""
    schema["properties"]["extends"] = {
        "description": "A file, or a list of files, that this one is laid over.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    }
    required = {}
    for section, name in _NAMED.items():
        definition = schema["$defs"][name]
        entries = schema["properties"][section]
        entries["additionalProperties"] = {
            "anyOf": [entries["additionalProperties"], {"type": "null"}]
        }
        required[section] = {"additionalProperties": {"required": definition.pop("required")}}
    schema["if"] = {"not": {"required": ["extends"]}}
    schema["then"] = {"properties": required}
