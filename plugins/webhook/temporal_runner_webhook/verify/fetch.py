"""Fetches a small document by HTTP, bounded in time and bytes, following no redirect."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from temporal_runner.plugin import TransientError
from temporal_runner_webhook.schemes import is_loopback

_TIMEOUT = 5.0
"""Seconds for a connection, and between two pieces of an answer."""
_LONGEST = 10.0
"""Seconds for all of it."""
_MOST = 256 * 1024
"""Bytes of an answer."""


async def fetch(url: str) -> bytes:
    """The body of a GET; a redirect is not followed: nobody checked where it leads.

    Args:
        url: Checked by the caller: http or https, at a host that is meant.

    Raises:
        TransientError: It could not be had.
    """
    timeout = aiohttp.ClientTimeout(_LONGEST, sock_connect=_TIMEOUT, sock_read=_TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as client,
            client.get(url, allow_redirects=False, proxy=_proxy(url)) as answer,
        ):
            if answer.status // 100 != 2:
                raise ValueError(f"the answer is {answer.status} {answer.reason}")
            return await _body(answer)
    except TimeoutError as error:
        raise TransientError(f"cannot fetch {_shown(url)}: no answer in time") from error
    except (OSError, ValueError, aiohttp.ClientError) as error:
        raise TransientError(f"cannot fetch {_shown(url)}: {error}") from error


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _MOST:
            raise ValueError(f"the answer is larger than {_MOST} bytes")
    return body


def _proxy(url: str) -> str | None:
    """The proxy of the environment (`HTTPS_PROXY`, `NO_PROXY`); none to this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


def _shown(url: str) -> str:
    return url.partition("?")[0]
