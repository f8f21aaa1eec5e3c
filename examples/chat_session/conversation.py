"""What is said in a session: its turns, and what is carried from one run to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from document_processing.documents import Passage

LONGEST_MESSAGE = 4000
"""Characters."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer.

    Attributes:
        text: The answer.
        passages: What it was answered from; empty where nothing fits.
        model: The model that answered; None where the passages themselves are the answer.
    """

    text: str
    passages: list[Passage] = field(default_factory=list)
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A message and its reply.

    Attributes:
        id: The update's ID: the same message sent again is answered with the same reply.
        message: What was asked.
        reply: What was answered.
    """

    id: str
    message: str
    reply: Reply

    @property
    def size(self) -> int:
        """About how many characters it takes to hand it on."""
        passages = sum(len(passage.text) + 200 for passage in self.reply.passages)
        return 200 + len(self.message) + len(self.reply.text) + passages


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a responder is asked.

    Attributes:
        message: The message.
        passages: What the documents say about it.
        before: The turns before, the oldest first.
    """

    message: str
    passages: list[Passage]
    before: list[Turn] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Session:
    """How a session begins, or goes on in its next run.

    Attributes:
        idle_seconds: It ends when nothing is said for so long.
        turns_a_run: After so many turns it continues as new, as it does when its history grows.
        turns: What was said so far.
        left_out: Turns that were let go, the oldest, to keep the session small.
    """

    idle_seconds: float = 1800.0
    turns_a_run: int = 100
    turns: list[Turn] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Closing:
    """How a session ended.

    Attributes:
        reason: By the signal, or because nothing was said.
        turns: How many turns it had.
    """

    reason: Literal["ended", "idle"]
    turns: int
