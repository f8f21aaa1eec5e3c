"""docs/reference/azure.md says what there is: every option, and tests that exist."""

from __future__ import annotations

import re

from temporal_runner_azure.config import AzureOptions
from tests.support import ROOT

PAGE = (ROOT / "docs" / "reference" / "azure.md").read_text(encoding="utf-8")


def test_every_option_is_documented_with_its_default() -> None:
    """And no option that there is not."""
    rows = dict(re.findall(r"^\| `([a-z_]+)` \|(.*?)\|", PAGE, re.MULTILINE))
    events = {"id", "source", "type", "subject", "time", "data"}
    assert rows.keys() - events == AzureOptions.model_fields.keys()
    options = {"mode": "queue", "queue": "events", "account": "myaccount"}
    shown = AzureOptions.model_validate(options).model_dump(mode="json")
    for name, cell in rows.items():
        default, written = shown.get(name), cell.strip()
        if written.startswith("`") and name != "dead_letter_queue" and name not in events:
            assert written.strip("`") == _yaml(default), name


def test_every_promise_of_the_checklist_has_its_test() -> None:
    """A test that is renamed is renamed there too."""
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "azure").glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 20
    assert not {name for name in named if f"def {name}(" not in tests}


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "0s" if value == "0ms" else str(value)
