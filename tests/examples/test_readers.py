"""Real files of each type become text; those that cannot be read say why, and hang nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from document_processing.describe import describe
from document_processing.documents import Failure
from document_processing.extract import Extracted, extract
from tests.examples.conftest import DOCUMENTS

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("name", "media_type", "pages", "phrases"),
    [
        ("lighthouse.pdf", "application/pdf", 1, ["186 steps", "salted herring", "keeper"]),
        ("tides.pdf", "application/pdf", 2, ["The Harbour Office", "seven knots", "Aksel Brandt"]),
        ("no-printing.pdf", "application/pdf", 2, ["seven knots"]),
        ("wrong-xref.pdf", "application/pdf", 2, ["seven knots"]),
        ("bees.docx", WORD, None, ["twenty kilograms of honey", "paddling pool"]),
        ("lighthouse.docx", WORD, None, ["second-order Fresnel lens", "900 litres"]),
        ("ferry.html", "text/html", None, ["every forty minutes", "Ingrid Solberg"]),
        ("tram-latin1.html", "text/html", None, ["fährt seit 1912", "achtunddreißig Minuten"]),
        ("ferry.md", "text/markdown", None, ["The ferry Karoline crosses", "every forty minutes"]),
        ("moby-dick.txt", "text/plain", None, ["Call me Ishmael."]),
        ("taugenichts-latin1.txt", "text/plain", None, ["meines Vaters Mühle", "»Du Taugenichts!"]),
    ],
)
async def test_a_real_file_becomes_text(
    name: str, media_type: str, pages: int | None, phrases: list[str]
) -> None:
    """By its content: the library that is for it, the right encoding, all pages."""
    found = await extract(DOCUMENTS / name, name)
    assert isinstance(found, Extracted), found
    assert (found.media_type, found.pages) == (media_type, pages)
    text = " ".join(found.text.split())
    for phrase in phrases:
        assert phrase in text


async def test_what_no_reader_sees_is_left_out() -> None:
    """Scripts, styles, comments, and Markdown's own signs are no text."""
    page = await extract(DOCUMENTS / "tram-latin1.html", "tram.html")
    assert isinstance(page, Extracted)
    for hidden in ("keiner Zeitung", "font-family", "Auskommentiert"):
        assert hidden not in page.text
    notes = await extract(DOCUMENTS / "ferry.md", "ferry.md")
    assert isinstance(notes, Extracted)
    assert "*" not in notes.text


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("encrypted.pdf", "encrypted", "it is a PDF that needs a password"),
        ("encrypted.docx", "encrypted", "it is an Office file that needs a password"),
        ("damaged.pdf", "damaged", "PdfiumError"),
        ("damaged.docx", "damaged", "broken"),
        ("bees.doc", "unsupported", "the old format"),
        ("picture.png", "unsupported", "image/png"),
        ("scan.pdf", "no_text", "its pages may be images"),
    ],
)
async def test_what_cannot_be_read_says_why(name: str, kind: str, reason: str) -> None:
    """A failure with its kind, not an exception."""
    found = await extract(DOCUMENTS / name, name)
    assert isinstance(found, Failure), found
    assert found.kind == kind
    assert reason in found.reason


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "no_text"),
        (b" \n\t ", "no_text"),
        (b"%PDF-1.7\n", "damaged"),
        (b"PK\x03\x04 and no archive", "damaged"),
        (bytes(range(256)) * 20, "unsupported"),
    ],
)
async def test_odd_bytes_are_no_document(content: bytes, kind: str, tmp_path: Path) -> None:
    """Nothing, half a file, noise."""
    file = tmp_path / "odd"
    file.write_bytes(content)
    found = await extract(file, "odd")
    assert isinstance(found, Failure), found
    assert found.kind == kind


async def test_the_name_does_not_decide(tmp_path: Path) -> None:
    """A Word file that is called .pdf is read as what it is."""
    file = tmp_path / "letter.pdf"
    file.write_bytes((DOCUMENTS / "bees.docx").read_bytes())
    found = await extract(file, "letter.pdf")
    assert isinstance(found, Extracted)
    assert found.media_type == WORD


async def test_a_reader_that_takes_too_long_is_killed() -> None:
    """It counts as damaged."""
    found = await extract(DOCUMENTS / "lighthouse.pdf", "lighthouse.pdf", longest=0.001)
    assert isinstance(found, Failure)
    assert (found.kind, "took more than" in found.reason) == ("damaged", True)


async def test_language_and_keywords() -> None:
    """Of real texts."""
    english = await extract(DOCUMENTS / "lighthouse.pdf", "")
    german = await extract(DOCUMENTS / "taugenichts-latin1.txt", "")
    assert isinstance(english, Extracted)
    assert isinstance(german, Extracted)
    described = describe(english.text)
    assert described.language == "en"
    assert any("lens" in word.lower() or "skerry" in word.lower() for word in described.keywords)
    assert describe(german.text).language == "de"
