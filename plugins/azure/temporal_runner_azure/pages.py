"""A page of a container's listing, read from the service's XML: what is optional may be missing.

The SDK's own reader stops at the first entry that lacks something.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote
from xml.etree import ElementTree

from temporal_runner.plugin import ListedObject, TransientError
from temporal_runner_azure.events import plain_etag


@dataclass(frozen=True, slots=True)
class Listed(ListedObject):
    """A blob in a listing.

    Attributes:
        kind: `BlockBlob`, `AppendBlob` or `PageBlob`.
        content_type: Its media type.
        is_folder: It stands for a folder, of Data Lake or of a tool that makes markers.
    """

    kind: str = "BlockBlob"
    content_type: str | None = None
    is_folder: bool = False


def read_page(content: bytes) -> tuple[list[Listed], str | None, int]:
    """The blobs of a page, what continues it, and how many entries have no name to go by.

    Raises:
        TransientError: It is no listing.
    """
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - expat bounds what entities may grow to
    except ElementTree.ParseError:
        root = None
    if root is None or root.tag != "EnumerationResults":
        html = b"<html" in content[:2000].lower() or b"<!doctype html" in content[:2000].lower()
        what = "a page of HTML" if html else "no listing"
        raise TransientError(
            f"the answer is {what}: look whether the address is Azure Storage's, and"
            " what is in between"
        )
    entries = root.findall("Blobs/Blob")
    blobs = [blob for blob in map(_listed, entries) if blob is not None]
    return blobs, root.findtext("NextMarker") or None, len(entries) - len(blobs)


def _listed(entry: ElementTree.Element) -> Listed | None:
    name = entry.findtext("Name") or ""
    found = entry.find("Name")
    if found is not None and found.get("Encoded") == "true":
        name = unquote(name)
    if not name:
        return None
    size, marked = _number(entry.findtext("Properties/Content-Length")), entry.find("Metadata")
    folder = [] if marked is None else [one for one in marked if one.tag.lower() == "hdi_isfolder"]
    return Listed(
        key=name,
        etag=plain_etag(entry.findtext("Properties/Etag") or ""),
        modified=_time(entry.findtext("Properties/Last-Modified")),
        size=size,
        kind=entry.findtext("Properties/BlobType") or "BlockBlob",
        content_type=entry.findtext("Properties/Content-Type") or None,
        is_folder=any((one.text or "").lower() == "true" for one in folder)
        or (name.endswith("/") and size == 0),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() else None


def _time(text: str | None) -> datetime | None:
    try:
        time = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
