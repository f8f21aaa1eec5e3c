"""What a text is about: its language and its keywords."""

from __future__ import annotations

from functools import lru_cache

import py3langid  # type: ignore[import-untyped]
import yake  # type: ignore[import-untyped]

from document_processing.documents import Description

_MOST_CHARACTERS = 100_000
"""Of a longer text its beginning tells enough."""
_KEYWORDS = 8


def describe(text: str) -> Description:
    """Tell a text's language and keywords."""
    beginning = text[:_MOST_CHARACTERS]
    language: str = py3langid.classify(beginning)[0]
    keywords = [word for word, _ in _extractor(language).extract_keywords(beginning)]
    return Description(language=language, keywords=keywords)


def stop_words(language: str) -> frozenset[str]:
    """The words that say nothing of what a text in this language is about."""
    return frozenset(_extractor(language).stopword_set)


@lru_cache(maxsize=20)
def _extractor(language: str) -> yake.KeywordExtractor:
    return yake.KeywordExtractor(lan=language, n=2, dedup_lim=0.7, top=_KEYWORDS)
