"""The config's JSON Schema, with the options of each installed plugin where they belong."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from temporal_runner.catalog import Catalog
from temporal_runner.config.model import RunnerConfig


def json_schema(catalog: Catalog) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a config file.

    Args:
        catalog: Whose sources' and strategies' options are included.
    """
    schema = RunnerConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["extends"] = {
        "description": "A file, or a list of files, that this one is laid over.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    }
    definitions = schema["$defs"]
    sources = {name: kind.options for name, (kind, _) in catalog.sources.kinds.items()}
    _choose(definitions, "ListenerSettings", "source", sources)
    strategies = {name: kind.options for name, (kind, _) in catalog.strategies.kinds.items()}
    for section in ("RetrySettings", "RestartSettings"):
        _choose(definitions, section, "strategy", strategies)
    return schema


def _choose(
    definitions: dict[str, Any], section: str, key: str, models: dict[str, type[BaseModel]]
) -> None:
    """In a section let `key` be one of the names, each of which decides the `options`."""
    definitions[section]["properties"][key]["enum"] = sorted(models)
    rules = []
    for name, model in models.items():
        options = model.model_json_schema(ref_template=f"#/$defs/{key}.{name}.{{model}}")
        for inner, definition in options.pop("$defs", {}).items():
            definitions[f"{key}.{name}.{inner}"] = definition
        definitions[f"{key}.{name}"] = options
        rules.append(
            {
                "if": {"properties": {key: {"const": name}}, "required": [key]},
                "then": {"properties": {"options": {"$ref": f"#/$defs/{key}.{name}"}}},
            }
        )
    definitions[section]["allOf"] = rules
