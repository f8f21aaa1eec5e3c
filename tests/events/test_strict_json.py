"""JSON from outside is what workflows and files can hold, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from temporal_runner.plugin import parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        (b'"gr\xc3\xb6\xc3\x9fe"', "größe"),
        ("1e308", 1e308),
        ("1" + "0" * 400, 10**400),
        ('"Infinity NaN 1e999"', "Infinity NaN 1e999"),
        ("[" * 100 + "]" * 100, None),
        ("[" + "[]," * 500 + "[]]", [[]] * 501),
    ],
)
def test_what_is_json(text: str | bytes, value: Any) -> None:
    """As text or as bytes."""
    assert value is None or parse_json(text) == value
    parse_json(text)


@pytest.mark.parametrize(
    "text",
    ["", "NaN", "[Infinity]", "1e999", '{"a": [-1e999]}', "9" * 400 + ".5", "[" * 101 + "]" * 101,
     '{"a":' * 101 + "1" + "}" * 101, "[" * 100_000, '"\\ud800"', b"\xff", b'"\xed\xa0\x80"'],
)  # fmt: skip
def test_what_is_refused(text: str | bytes) -> None:
    """No number, too deep, half a character, no UTF-8."""
    with pytest.raises(ValueError, match=r".+"):
        parse_json(text)
