"""Whatever a config file holds, the answer is a plan or a list of problems, never a traceback."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from temporal_runner.config.load import load
from temporal_runner.config.problems import ConfigError
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog

ANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
ENVIRON = {"A": "1", "B": "text", "RAW": "\udcff"}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The installed plugins, found once."""
    return Catalog.installed()


def judge(content: bytes, catalog: Catalog) -> None:
    """Read and plan a file with this content; only a `ConfigError` may come of it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_bytes(content)
        try:
            make_plan(load(file, ENVIRON), catalog)
        except ConfigError as wrong:
            message = str(wrong)
        else:
            return
    assert message


@ANY
@given(content=st.binary(max_size=200))
def test_any_bytes(catalog: Catalog, content: bytes) -> None:
    """Bytes that are no YAML, or no text at all."""
    judge(content, catalog)


PIECES = ["a: ", "\n", "  ", "- ", "[", "]", "{", "}", "&x ", "*x", "!t ", "|", ">", "'", '"', "? ",
          ": ", "#", "---", "...",
          "<<", "${", "${{", "}}", "\t", "\u2028", "\x85", "é", "log", "%"]  # fmt: skip


@ANY
@given(text=st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_any_text(catalog: Catalog, text: str) -> None:
    """Texts made of what YAML gives a meaning to."""
    judge(text.encode("utf-8", "surrogatepass"), catalog)


KEYS = ["extends", "import_paths", "temporal", "address", "tls", "api_key", "from_env",
        "from_file", "connections", "retry", "strategy", "options", "restart", "timeout", "workers",
        "w", "task_queue", "workflows", "tuner", "listeners", "l", "source", "routes", "start",
        "signal", "id", "args", "when", "on_duplicate", "search_attributes", "memo", "connection",
        "admin", "port", "log", "level", "shutdown_timeout", "verify", "scheme", "secrets",
        "max_body", "priority", "start_activity", "x"]  # fmt: skip
VALUES = ["webhook", "exponential", "${A}", "${B}", "${RAW}", "${X:?no}", "${{ event.data }}",
          "${{ }}", "${{ event. }}", "event.id", "1s", "9" * 500 + "s", "9" * 500 + "GB", "q", "0",
          "-1h", "json:loads", "json.decoder",
          "http://h:1", "h:1", "~", "\0", "/", "none", "hmac"]  # fmt: skip
SCALARS = st.one_of(st.sampled_from(VALUES), st.text(max_size=5), st.none(), st.booleans(),
                    st.integers(), st.floats())  # fmt: skip
TREES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)


@ANY
@given(tree=st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6))
def test_any_values(catalog: Catalog, tree: dict[str, Any]) -> None:
    """Sound YAML with every option's name and any values under it."""
    judge(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"), catalog)


@ANY
@given(
    listener=st.fixed_dictionaries(
        {
            "source": st.just("webhook"),
            "options": st.dictionaries(st.sampled_from(KEYS), TREES, max_size=4),
            "routes": st.lists(
                st.dictionaries(st.sampled_from(KEYS), TREES, max_size=5), max_size=3
            ),
        },
        optional={"retry": TREES, "connection": SCALARS},
    ),
    worker=st.dictionaries(st.sampled_from(["task_queue", "workflows", "tuner", "plugins"]), TREES),
)
def test_any_listener(catalog: Catalog, listener: Any, worker: Any) -> None:
    """A listener and a worker whose options hold anything."""
    tree = {"workers": {"w": worker}, "listeners": {"l": listener}}
    judge(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"), catalog)
