"""A file to its text: what it is by its content, and the library that reads that.

    python -m document_processing.readers FILE NAME

prints what it read as JSON. Foreign bytes are read in a process of their own, which can be killed
and whose memory is limited; `document_processing.extract` starts it.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import charset_normalizer
import inscriptis  # type: ignore[import-untyped]
import mammoth  # type: ignore[import-untyped]
import puremagic
import pypdfium2  # type: ignore[import-untyped]
from lxml import html  # type: ignore[import-untyped]
from markdown_it import MarkdownIt

from document_processing.extract import Extracted

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"

_MOST_MEMORY = 2 << 30
_LONGEST_TEXT = 20_000_000
"""Characters."""
_MARKDOWN_NAMES = (".md", ".markdown")
_HTML_NAMES = (".html", ".htm")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""What no text has."""
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED_OFFICE = "EncryptedPackage".encode("utf-16-le")


class Unreadable(Exception):
    """The file cannot be read, and never will be.

    Attributes:
        kind: One of `documents.FailureKind`.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def read(file: Path, name: str) -> Extracted:
    """Read a file.

    Args:
        file: The file.
        name: The document's name: it tells Markdown from plain text, which their content does not.

    Raises:
        Unreadable: It cannot be read.
    """
    media_type = detect(file, name)
    try:
        extracted = _READERS[media_type](file)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # of a damaged file the libraries raise whatever they meet
        raise Unreadable("damaged", f"{type(error).__name__}: {error}"[:500]) from error
    if not extracted.text.strip():
        reason = "it has no text" + (": its pages may be images" if extracted.pages else "")
        raise Unreadable("no_text", reason)
    if len(extracted.text) > _LONGEST_TEXT:
        raise Unreadable("too_large", f"its text has more than {_LONGEST_TEXT:,} characters")
    return extracted


def detect(file: Path, name: str) -> str:
    """The media type of a file, of those that can be read.

    Raises:
        Unreadable: It is of no such type.
    """
    head = file.open("rb").read(len(_OLE))
    if not head:
        raise Unreadable("no_text", "it is empty")
    if head == _OLE:
        if _ENCRYPTED_OFFICE in file.read_bytes():
            raise Unreadable("encrypted", "it is an Office file that needs a password")
        raise Unreadable("unsupported", "it is an Office file of the old format")
    found = _by_content(file)
    for media_type in found:
        if media_type == DOCX and not _is_word(file):
            continue
        if media_type in _BY_CONTENT:
            return media_type
    if _decoded(file) is None:
        raise Unreadable("unsupported", f"it is {found[0] if found else 'of an unknown type'}")
    if name.lower().endswith(_HTML_NAMES):
        return HTML
    return MARKDOWN if name.lower().endswith(_MARKDOWN_NAMES) else PLAIN


def _by_content(file: Path) -> list[str]:
    try:
        return [candidate.mime_type for candidate in puremagic.magic_file(file)]
    except (puremagic.PureError, ValueError):
        return []


def _is_word(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return "word/document.xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        raise Unreadable("damaged", "it begins like an Office file and is broken") from None


def _decoded(file: Path) -> str | None:
    """The file as text, or None where it is no text."""
    content = file.read_bytes()
    if b"\0" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    best = charset_normalizer.from_bytes(content).best()
    text = "" if best is None else str(best).removeprefix("\ufeff")
    return None if best is None or _CONTROL.search(text) else text


# One function a media type. ----------------------------------------------------------------------


def _pdf(file: Path) -> Extracted:
    try:
        # Many are encrypted with an empty password, to forbid printing or copying: those open.
        document = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise Unreadable("encrypted", "it is a PDF that needs a password") from error
        raise
    texts = [page.get_textpage().get_text_bounded() for page in document]
    # Where a line ends within a word there is this character in place of the hyphen.
    text = "\n\n".join(texts).replace("\x02", "").replace("\r\n", "\n")
    return Extracted(media_type=PDF, text=text, pages=len(texts))


def _docx(file: Path) -> Extracted:
    with file.open("rb") as content:
        return Extracted(media_type=DOCX, text=mammoth.extract_raw_text(content).value)


def _html(file: Path) -> Extracted:
    content = file.read_bytes()
    try:
        content.decode()
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = None  # what the page itself says
    parser = html.HTMLParser(encoding=encoding)
    tree = html.document_fromstring(content, parser=parser)
    return Extracted(media_type=HTML, text=inscriptis.Inscriptis(tree).get_text())


def _markdown(file: Path) -> Extracted:
    page = MarkdownIt("commonmark").enable("table").render(_text_of(file))
    return Extracted(media_type=MARKDOWN, text=inscriptis.get_text(page) if page else "")


def _plain(file: Path) -> Extracted:
    return Extracted(media_type=PLAIN, text=_text_of(file))


def _text_of(file: Path) -> str:
    return _decoded(file) or ""


_BY_CONTENT = {PDF, DOCX, HTML}
_READERS: dict[str, Callable[[Path], Extracted]] = {
    PDF: _pdf,
    DOCX: _docx,
    HTML: _html,
    MARKDOWN: _markdown,
    PLAIN: _plain,
}


def main(file: str, name: str) -> dict[str, Any]:
    """What is printed."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    try:
        return {"extracted": asdict(read(Path(file), name))}
    except Unreadable as error:
        return {"failure": {"kind": error.kind, "reason": str(error)}}
    except (MemoryError, RecursionError):
        return {"failure": {"kind": "too_large", "reason": "reading it takes too much memory"}}


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
