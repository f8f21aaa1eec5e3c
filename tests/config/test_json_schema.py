"""`runner schema`: an editor that checks with it and `runner validate` are of one mind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from temporal_runner.config.json_schema import json_schema
from temporal_runner.config.problems import Problem
from temporal_runner.config.yaml_tree import compose
from temporal_runner.plugin.catalog import Catalog
from tests.support import ROOT, run_runner

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))

PLUGIN = """
from typing import Literal
from pydantic import BaseModel
from temporal_runner.plugin import EventSourceKind, Options, PullSource, Size, hookimpl

class Depth(Options):
    metres: int
    '''How far the water is.'''

class WellOptions(BaseModel):
    depth: Depth
    kind: Literal["deep", "shallow"] = "deep"
    bucket: Size = 1

@hookimpl
def runner_event_sources():
    yield EventSourceKind("well", "water", WellOptions, PullSource)
"""


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Draft202012Validator:
    """The schema with the installed plugins and one that is a file."""
    file = tmp_path_factory.mktemp("plugin") / "well.py"
    file.write_text(PLUGIN)
    catalog = Catalog.installed()
    catalog.add_file(file)
    schema = json_schema(catalog)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def parsed(text: str) -> Any:
    problems: list[Problem] = []
    tree = compose(text, Path("x.yaml"), problems)
    assert tree is not None
    assert problems == []
    return tree.data()


def errors(validator: Draft202012Validator, text: str) -> list[str]:
    """Where the schema objects, as dotted paths."""
    return sorted({error.json_path for error in validator.iter_errors(parsed(text))})


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_the_shipped_configs(validator: Draft202012Validator, config: Path) -> None:
    """What we ship has no red line in an editor."""
    assert errors(validator, config.read_text()) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("worker: {}", "$"),
        ("log: {levle: info}", "$.log"),
        ("log: {level: loud}", "$.log.level"),
        ("admin: {port: x}", "$.admin"),
        ("shutdown_timeout: 30", "$.shutdown_timeout"),
        ("workers: {w: {workflows: [m:W]}}", "$.workers.w"),
        ("workers: {w: {task_queue: q, workflows: [m:W], sandbx: true}}", "$.workers.w"),
        ("retry: {strategy: nope}", "$.retry.strategy"),
        ("retry: {strategy: constant, options: {x: 1}}", "$.retry.options"),
        ("listeners: {l: {source: nope, routes: [{start: X}]}}", "$.listeners.l"),
        ("listeners: {l: {source: webhook, routes: []}}", "$.listeners.l"),
        ("listeners: {l: {source: webhook, routes: [{strat: X}]}}", "$.listeners.l"),
    ],
)
def test_mistakes(validator: Draft202012Validator, text: str, path: str) -> None:
    """Unknown keys, wrong values and missing ones fail."""
    assert any(error.startswith(path) for error in errors(validator, text))


@pytest.mark.parametrize(
    ("source", "options", "sound"),
    [
        ("webhook", "{verify: {scheme: none}}", True),
        ("webhook", "{verify: {scheme: github, secrets: ['${S}']}}", True),
        ("webhook", "{verify: {scheme: github, secrets: [{from_env: S}]}, port: '${PORT}'}", True),
        ("webhook", "{verify: {scheme: none}, prot: 1}", False),
        ("webhook", "{verify: {scheme: nope}}", False),
        ("webhook", "{port: 80}", False),
        ("well", "{depth: {metres: 3}, bucket: 1MB}", True),
        ("well", "{depth: {metres: '${M:-3}'}, kind: '${KIND}'}", True),
        ("well", "{depth: {meters: 3}}", False),
        ("well", "{depth: {metres: deep}}", False),
        ("well", "{depth: {metres: 3}, kind: dry}", False),
        ("well", "{depth: {metres: 3}, more: 1}", False),
    ],
)
def test_plugins_options(
    validator: Draft202012Validator, source: str, options: str, sound: bool
) -> None:
    """The options of the source that a listener names are checked, wherever the plugin is from."""
    text = f"listeners: {{l: {{source: {source}, options: {options}, routes: [{{start: X}}]}}}}"
    assert (errors(validator, text) == []) is sound


def test_variables_may_stand_for_any_scalar(validator: Draft202012Validator) -> None:
    """An editor does not object to `${VAR}` where a number, a choice or a duration is wanted."""
    text = """
    temporal: {address: "${ADDRESS}"}
    admin: {port: "${PORT:-8088}"}
    log: {level: "${LEVEL:-info}"}
    shutdown_timeout: ${LIMIT:-30s}
    workers:
      w: {task_queue: q, workflows: [m:W], sandbox: "${SANDBOX}", max_cached_workflows: "${N}"}
    """
    assert errors(validator, text) == []


def test_overlays_need_not_be_complete(validator: Draft202012Validator) -> None:
    """A file that extends another may override one key, and remove an entry with null."""
    overlay = "extends: base.yaml\nworkers: {w: {max_cached_workflows: 5}, gone: null}\n"
    assert errors(validator, overlay) == []
    assert errors(validator, overlay.replace("max_cached", "max_cashed")) != []
    assert errors(validator, overlay.replace("extends: base.yaml\n", "")) != []


def test_every_option_is_described() -> None:
    """Each option of our own sections has a text that an editor can show."""
    schema = json_schema(Catalog.installed())
    own = {name: part for name, part in schema["$defs"].items() if "." not in name}
    for name, part in {"RunnerConfig": schema, **own}.items():
        for option, described in part.get("properties", {}).items():
            # A section that says the same as its option says it once, where it is defined.
            known = described.get("description") or "$ref" in described
            assert known, f"{name}.{option} has no description"


def test_a_plugins_options_are_described(validator: Draft202012Validator) -> None:
    """By the text below each field, where the model is one of `Options`."""
    described = json.dumps(validator.schema)
    assert "How far the water is." in described
    assert "The certificate, with its chain (PEM)." in described


def test_the_command_prints_it() -> None:
    """`runner schema` prints that schema as JSON, and nothing else."""
    code, output = run_runner("schema")
    assert code == 0
    assert json.loads(output) == json_schema(Catalog.installed())
