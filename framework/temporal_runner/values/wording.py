"""Texts for people: on one line, and with the word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def one_line(text: object) -> str:
    """A text, or an error's, with single spaces for its line breaks and runs of blanks."""
    return " ".join(str(text).split())


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The known word that another one was probably meant to be; None where none is like it.

    Args:
        word: What was written.
        known: What could have been.
        likeness: From 0 to 1, the least that counts.
    """
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=likeness)), None)


def suggest(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """What to put after an error about an unknown word: `; did you mean queue_url?`.

    Args:
        word: What was written.
        known: What could have been.
        otherwise: What to say where none of that is like it, such as `known: a, b`; empty is
            nothing.

    Returns:
        A text that begins with `; `, or an empty one.
    """
    near = nearest(word, known)
    hint = f"did you mean {near}?" if near else otherwise
    return f"; {hint}" if hint else ""
