"""Texts for people: one line, and the word that was probably meant."""

from __future__ import annotations

import pytest

from temporal_runner.values.wording import nearest, one_line, suggest


def test_one_line() -> None:
    """An error of several lines is one, with single spaces."""
    assert one_line(ValueError(" a\n\n   b\tc \n")) == "a b c"
    assert one_line("") == ""


@pytest.mark.parametrize(
    ("word", "known", "otherwise", "said"),
    [
        ("queu", ["queue", "topic"], "", "; did you mean queue?"),
        ("queu", ["queue"], "known: queue", "; did you mean queue?"),
        ("xyz", ["queue", "topic"], "known: queue, topic", "; known: queue, topic"),
        ("xyz", ["queue"], "", ""),
        ("queue", [], "", ""),
    ],
)
def test_suggestions(word: str, known: list[str], otherwise: str, said: str) -> None:
    """A word that is like a known one is answered by it, else by what is said otherwise."""
    assert suggest(word, known, otherwise=otherwise) == said
    assert suggest(word, iter(known), otherwise=otherwise) == said


def test_likeness() -> None:
    """How like a word must be can be said."""
    assert nearest("stop", ["start"], likeness=0.4) == "start"
    assert nearest("stop", ["start"], likeness=0.9) is None
