"""The steps of processing a document, each of which may be done again; and the search.

Libraries load when a step needs them: a process that runs another part of the config has none.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from temporalio import activity
from temporalio.exceptions import ApplicationError

from document_processing.documents import Description, Failure, Passage, Reading, Summary
from document_processing.extract import extract
from document_processing.index import Index, words_of
from document_processing.locations import name_of, summary_of

_PASSAGE = (400, 1000)
"""Characters of a passage: from about so many up to so many."""
_BEAT = 5.0
"""Seconds between heartbeats."""


@activity.defn
async def read_document(document: str) -> Reading:
    """Fetch a document and read its text into the index.

    Raises:
        ApplicationError: It cannot be processed however often it is tried; its type is the
            failure's kind.
    """
    from document_processing import fetch

    name = name_of(document)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "document"
        async with _beating():
            try:
                size = await fetch.fetch(document, file, activity.heartbeat)
            except FileNotFoundError:
                raise _failed(Failure(kind="missing", reason="it is not there")) from None
            except fetch.TooLarge as error:
                raise _failed(Failure(kind="too_large", reason=str(error))) from None
            except fetch.NameNotSupported as error:
                raise _failed(Failure(kind="unsupported", reason=str(error))) from None
            found = await extract(file, name)
    if isinstance(found, Failure):
        raise _failed(found)
    await asyncio.to_thread(Index.of_environment().keep_text, document, name, found.text)
    return Reading(
        document=document,
        media_type=found.media_type,
        size=size,
        pages=found.pages,
        words=len(found.text.split()),
    )


@activity.defn
def index_document(document: str) -> int:
    """Split a document that was read, and index its passages; returns how many there are."""
    from semantic_text_splitter import TextSplitter

    index = Index.of_environment()
    # Lines of a page end within sentences, where no passage should.
    text = re.sub(r"(?<!\n)\n(?!\s*\n)", " ", index.text_of(document))
    passages = TextSplitter(_PASSAGE).chunks(text)
    activity.heartbeat(len(passages))
    index.replace(document, passages)
    return len(passages)


@activity.defn
def describe_document(document: str) -> Description:
    """Tell the language and the keywords of a document that was read."""
    from document_processing.describe import describe

    index = Index.of_environment()
    description = describe(index.text_of(document))
    activity.heartbeat(description.language)
    index.set_language(document, description.language)
    return description


@activity.defn
async def write_summary(summary: Summary) -> str:
    """Write a summary beside its document; returns its URL.

    Raises:
        ApplicationError: Nothing may be written there.
    """
    from document_processing import fetch

    url = summary_of(summary.document)
    if url is None:
        raise ApplicationError(f"nothing is written beside {summary.document}", non_retryable=True)
    content = json.dumps(asdict(summary), ensure_ascii=False, indent=2)
    try:
        await fetch.put(url, content.encode())
    except PermissionError as error:
        raise ApplicationError(str(error), type="NotAllowed", non_retryable=True) from error
    return url


@activity.defn
def search_passages(question: str, limit: int = 3) -> list[Passage]:
    """The passages of the indexed documents that fit a question best; best first."""
    from document_processing.describe import stop_words

    index = Index.of_environment()
    empty = frozenset[str]().union(*map(stop_words, index.languages()))
    return index.search([word for word in words_of(question) if word not in empty], limit)


def _failed(failure: Failure) -> ApplicationError:
    return ApplicationError(failure.reason, type=failure.kind, non_retryable=True)


@asynccontextmanager
async def _beating() -> AsyncIterator[None]:
    """Send heartbeats while this block runs."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(_BEAT)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
