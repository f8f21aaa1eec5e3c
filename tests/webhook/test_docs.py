"""The page docs/reference/webhook.md says what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from temporal_runner.plugin import TlsOptions
from temporal_runner_webhook import schemes
from temporal_runner_webhook.config import (
    RateOptions,
    ResponseOptions,
    ResponseTemplate,
    WebhookOptions,
)
from tests.webhook.support import make_options

TESTS = Path(__file__).parent
PAGE = (TESTS.parents[1] / "docs" / "reference" / "webhook.md").read_text(encoding="utf-8")
SECTIONS = [get_args(one)[0] for one in get_args(get_args(schemes.Verification)[0])]


def _options() -> Iterator[str]:
    yield from WebhookOptions.model_fields
    nested: dict[str, type[BaseModel]] = {"tls": TlsOptions, "rate": RateOptions}
    for prefix, section in nested.items():
        yield from (f"{prefix}.{name}" for name in section.model_fields)
    models: list[type[BaseModel]] = [ResponseOptions, ResponseTemplate, schemes.User, *SECTIONS]
    for model in models:
        yield from model.model_fields


@pytest.mark.parametrize("option", sorted(set(_options())))
def test_every_option_is_described(option: str) -> None:
    """Each option that a config may have stands on the page."""
    assert f"`{option}`" in PAGE


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_scheme_has_its_row_with_its_options(section: type[BaseModel]) -> None:
    """Each scheme has a row, and its options stand in that row."""
    scheme = get_args(section.model_fields["scheme"].annotation)[0]
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{scheme}` |"))
    for name in section.model_fields.keys() - {"scheme"}:
        assert f"`{name}`" in row


def _examples(secret: str = "whsec_" + "c2VjcmV0" * 6) -> list[Any]:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= len(SECTIONS)
    # A variable stands for a secret: any will do that is one of Standard Webhooks too.
    texts = [re.sub(r"\$\{[^{}]+\}(?!\})", secret, block) for block in blocks]
    return [yaml.safe_load(text) for text in texts]


def test_every_example_is_a_sound_config() -> None:
    """Each example on the page loads, and each scheme but none has one."""
    shown = set()
    for example in _examples():
        for listener in example.get("listeners", {"": example}).values():
            shown.add(make_options(listener["options"]).verify.scheme)
    assert len(shown) == len(SECTIONS) - 1


@pytest.mark.parametrize("value", ["", " ", "x", "whsec_", "unset"])
def test_no_example_takes_the_key_of_an_attacker(value: str) -> None:
    """With its variables unset, blank or short each example that has a secret does not load."""
    for example in _examples(value):
        for listener in example.get("listeners", {"": example}).values():
            verify = listener["options"]["verify"]
            if not verify.keys() & {"secrets", "keys", "users"}:
                continue  # its proof is a key that the sender's side publishes
            with pytest.raises(ValidationError):
                make_options(listener["options"])


def test_every_test_of_the_checklist_exists() -> None:
    """Each test that the checklist names is a test of these files."""
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    code = "".join(file.read_text(encoding="utf-8") for file in TESTS.glob("test_*.py"))
    assert not {name for name in named if f"def {name}(" not in code}
    assert len(named) > 80
