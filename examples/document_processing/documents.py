"""What is said of a document between the workflow, its activities and whoever asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FailureKind = Literal[
    "damaged", "encrypted", "unsupported", "no_text", "too_large", "missing", "not_named"
]
"""Why a document cannot be processed, however often it is tried."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What reading a document gave; its text stands in the index.

    Attributes:
        document: The document's URL.
        media_type: What its content says it is.
        size: Bytes.
        pages: Pages, where its format has such.
        words: Words of its text.
    """

    document: str
    media_type: str
    size: int
    pages: int | None
    words: int


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a text is about.

    Attributes:
        language: Its language by ISO 639-1.
        keywords: The words that say most of it, the first says most.
    """

    language: str
    keywords: list[str]


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A piece of a document that fits a question.

    Attributes:
        document: The document's URL.
        name: Its name, for people.
        number: The piece's place in the document, from 0.
        text: Its text.
    """

    document: str
    name: str
    number: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a document was not processed.

    Attributes:
        kind: For programs.
        reason: For people.
    """

    kind: FailureKind
    reason: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of a document: the workflow's result, also written beside the document.

    Attributes:
        document: The document's URL.
        name: Its name, for people.
        status: Whether it can be searched now.
        failure: Why not.
        media_type: What its content says it is.
        size: Bytes.
        pages: Pages, where its format has such.
        words: Words of its text.
        language: Its language by ISO 639-1.
        keywords: The words that say most of it, the first says most.
        passages: The pieces that it was split into.
        written: The URL of this summary; None where it cannot be written beside the document.
    """

    document: str
    name: str
    status: Literal["processed", "failed"]
    failure: Failure | None = None
    media_type: str | None = None
    size: int | None = None
    pages: int | None = None
    words: int = 0
    language: str | None = None
    keywords: list[str] = field(default_factory=list)
    passages: int = 0
    written: str | None = None
