"""The search index: what is indexed is found, once, also by several processes' workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from document_processing.index import Index, words_of


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """An index whose file is not there yet."""
    return Index(tmp_path / "new" / "documents.db")


def test_the_best_passage_comes_first(index: Index) -> None:
    """By the words that few passages have; word forms count as the word."""
    index.keep_text("s3://b/a.txt", "a.txt", "…")
    index.replace("s3://b/a.txt", ["The keeper trims the wick.", "The keeper oils the compressor."])
    found = index.search(["keeper", "compressors"], 5)
    assert [(one.number, one.name) for one in found] == [(1, "a.txt"), (0, "a.txt")]
    assert index.search(["nobody"], 5) == []
    assert index.search([], 5) == []
    assert len(index.search(["keeper"], 1)) == 1


def test_indexing_again_replaces(index: Index) -> None:
    """Twice the same leaves one; another text leaves nothing of the first."""
    for _ in range(2):
        index.keep_text("s3://b/a.txt", "a.txt", "one")
        index.replace("s3://b/a.txt", ["the first version"])
    assert len(index.search(["version"], 9)) == 1
    index.keep_text("s3://b/a.txt", "a.txt", "two")
    index.replace("s3://b/a.txt", ["the second version"])
    assert [one.text for one in index.search(["version"], 9)] == ["the second version"]
    assert index.search(["first"], 9) == []
    assert index.text_of("s3://b/a.txt") == "two"


def test_words_that_are_fts5s_own(index: Index) -> None:
    """A question is words, never syntax of the search."""
    index.keep_text("s3://b/a.txt", "a.txt", "…")
    index.replace("s3://b/a.txt", ["near or not and"])
    assert len(index.search(words_of('NEAR("or", 3) AND NOT * : ^ "'), 9)) == 1


def test_several_writers(index: Index) -> None:
    """They wait for one another."""

    def write(number: int) -> None:
        own = Index(index._file)
        own.keep_text(f"s3://b/{number}", f"{number}", "…")
        own.replace(f"s3://b/{number}", ["the same words"] * 20)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert len(index.search(["same"], 10_000)) == 800


def test_a_text_that_is_not_there_says_where(index: Index) -> None:
    """The steps of a workflow ran on workers that do not share the file."""
    with pytest.raises(LookupError, match=r"documents\.db has no text of s3://b/x"):
        index.text_of("s3://b/x")
