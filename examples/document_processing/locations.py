"""What names an object: an event's data, a whole CloudEvent, or a URL. Pure; used by workflows.

The URLs are `s3://BUCKET/KEY` and `az://CONTAINER/BLOB`, with the name as it is and not
percent-encoded, and `https://…` as usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

SUMMARY_SUFFIX = ".summary.json"
"""What a summary's name has more than its document's."""
_SCHEMES = ("s3", "az", "https", "http")


def url_of(source: Any) -> str:
    """The URL of the object that something names.

    Args:
        source: A URL; the data of an S3 or Azure event, or `{"url": …}`; or a CloudEvent with
            such data.

    Raises:
        ValueError: It names no object.
    """
    match source:
        case str() if source.partition("://")[0] in _SCHEMES and source.partition("://")[2]:
            return source
        case {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}:
            return f"s3://{bucket}/{key}"
        case {"container": str(container), "blob": str(blob)}:
            return f"az://{container}/{blob}"
        case {"url": str(url)}:
            return url_of(url)
        case {"data": Mapping() | str() as data}:
            return url_of(data)
    raise ValueError("it names no object: neither an S3 nor an Azure event, nor a URL")


def split(url: str) -> tuple[str, str, str]:
    """Scheme, bucket (or container, or host) and name of a URL that `url_of` gave."""
    scheme, _, rest = url.partition("://")
    place, _, name = rest.partition("/")
    return scheme, place, name


def name_of(url: str) -> str:
    """The last part of an object's name, for people."""
    scheme, place, name = split(url)
    if scheme.startswith("http"):
        name = unquote(urlsplit(url).path)
    return name.rstrip("/").rpartition("/")[2] or place


def is_usual(url: str) -> bool:
    """Whether an object's name has neither empty parts nor `.` or `..` for a part.

    The library that fetches objects cannot say such names, or takes them for others.
    """
    return not {"", ".", ".."} & set(split(url)[2].split("/"))


def summary_of(url: str) -> str | None:
    """Where the summary of a document is written; None where nothing can be written."""
    return f"{url}{SUMMARY_SUFFIX}" if is_usual(url) and not url.startswith("http") else None
