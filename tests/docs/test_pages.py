"""The pages: links that lead somewhere, tests that exist, a tutorial that works as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import ROOT, run_runner

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "plugins").glob("*/README.md")]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link is a file of the project."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [
        link for link in links if "://" not in link and not (page.parent / link).resolve().exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    """`tests/…::test_…` names a test, or with … at its end the beginning of some."""
    for path, name in re.findall(r"`(tests/[\w/.]+)::(\w+)(?:…)?`", page.read_text()):
        assert f"def {name}" in (ROOT / path).read_text(), f"{path} has no {name}"
    for path in re.findall(r"`(tests/[\w/.]+)[:`]", page.read_text()):
        assert (ROOT / path).exists(), f"there is no {path}"


def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    """Its files, its command, its mistake, its overlay."""
    page = (ROOT / "docs/tutorial/first-config.md").read_text()
    (workflow,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    config, overlay = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "hello.py").write_text(workflow)
    (tmp_path / "runner.yaml").write_text(config)
    (tmp_path / "prod.yaml").write_text(overlay)
    assert run_runner("validate", "runner.yaml", cwd=tmp_path)[0] == 0
    environment = {"TEMPORAL_ADDRESS": "temporal:7233"}
    code, output = run_runner("validate", "prod.yaml", cwd=tmp_path, env=environment)
    assert code == 0, output
    (said,) = re.findall(r"^    (runner\.yaml:\d.*)$", page, re.MULTILINE)
    wrong = config.replace("task_queue: hello", "task_queu: hello", 1)
    (tmp_path / "runner.yaml").write_text(wrong)
    code, output = run_runner("validate", "runner.yaml", cwd=tmp_path)
    assert code == 2
    assert output.startswith(said)
