"""What a queue's URL tells: the region that calls are signed for, and where they go."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_REGION = r"(?P<region>[a-z]{2,4}(?:-[a-z]+)+-\d+)"
_OF_AWS = r"\.(?:amazonaws\.com(?:\.cn)?|api\.aws|api\.amazonwebservices\.com\.cn)"
_FORMS = (
    # A region's own endpoint, with FIPS or without, or a VPC's.
    re.compile(rf"(?:[a-z0-9-]+\.)?sqs(?:-fips)?\.{_REGION}(?:\.vpce)?{_OF_AWS}"),
)
_LEGACY = re.compile(rf"(?:{_REGION}\.)?queue\.amazonaws\.com(?:\.cn)?")
"""The oldest form, whose host is one name for the region's endpoint: calls go to that."""


def queue_place(url: str) -> tuple[str | None, str | None]:
    """The region, and the endpoint where it is not the one that the SDK knows for the region.

    The SDK would send calls for any queue to AWS's endpoint of the region, whatever host its URL
    names; so a host that is not AWS's is always an endpoint of its own.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if legacy := _LEGACY.fullmatch(host):
        return legacy["region"] or "us-east-1", None
    endpoint = f"{parts.scheme}://{parts.netloc}"
    for form in _FORMS:
        if match := form.fullmatch(host):
            return match["region"], endpoint
    return None, endpoint
