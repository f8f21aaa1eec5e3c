"""Fetches a small document by HTTP, in a thread so that the event loop goes on."""

from __future__ import annotations

import asyncio
import http.client
import urllib.parse
import urllib.request
from email.message import Message
from typing import IO

from temporal_runner.plugin import TransientError
from temporal_runner_webhook.schemes import is_loopback

_TIMEOUT = 5.0
"""Seconds for a connection, and between two pieces of an answer."""
_LONGEST = 10.0
"""Seconds for all of it."""
_MOST = 256 * 1024
"""Bytes of an answer."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could lead to a host that nobody checked."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None


async def fetch(url: str) -> bytes:
    """The body of a GET.

    Args:
        url: Checked by the caller: http or https, at a host that is meant.

    Raises:
        TransientError: It could not be had.
    """
    try:
        async with asyncio.timeout(_LONGEST):
            return await asyncio.to_thread(_get, url)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise TransientError(f"cannot fetch {url.partition('?')[0]}: {error}") from error


def _get(url: str) -> bytes:
    host = urllib.parse.urlsplit(url).hostname
    direct = [urllib.request.ProxyHandler({})] if is_loopback(host) else []
    opener = urllib.request.build_opener(_NoRedirect, *direct)
    with opener.open(url, timeout=_TIMEOUT) as answer:
        body: bytes = answer.read(_MOST + 1)
    if len(body) > _MOST:
        raise ValueError(f"the answer is larger than {_MOST} bytes")
    return body
