"""docs/reference/s3.md says what there is: every option with its default, and tests that exist."""

from __future__ import annotations

import re

from temporal_runner_s3.config import AssumeRole, S3Options
from tests.support import ROOT

PAGE = (ROOT / "docs" / "reference" / "s3.md").read_text(encoding="utf-8")
OPTIONS = PAGE.split("\n## Options")[1].split("\n## ")[0]


def test_every_option_is_documented_with_its_default() -> None:
    """And no option that there is not."""
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.*?) ?\|", OPTIONS, re.MULTILINE))
    role = {f"assume_role.{name}" for name in AssumeRole.model_fields}
    assert rows.keys() == S3Options.model_fields.keys() | role
    shown = S3Options(queue_url="https://sqs.example/1/q").model_dump(mode="json")
    for name, value in AssumeRole(role_arn="arn:aws:iam::1:role/r").model_dump(mode="json").items():
        shown[f"assume_role.{name}"] = value
    for name, written in rows.items():
        if written.startswith("`"):
            assert written.strip("`") == str(shown[name]), name


def test_every_promise_of_the_checklist_has_its_test() -> None:
    """A test that is renamed is renamed there too."""
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "s3").glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 30
    assert not {name for name in named if f"def {name}(" not in tests}
