"""Asks a running runner whether it is ready, with the standard library alone."""

import json
import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from temporal_runner.errors import UsageError


def ask(url: str) -> int:
    """Ask, and print the answer.

    Args:
        url: The readiness endpoint.

    Returns:
        The exit code: 0 it is ready, 1 it is not, or none answers.

    Raises:
        UsageError: It is no http:// URL.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(f"--url {url}: not an http:// URL")
    connection = HTTPConnection(parts.hostname, parts.port or 80, timeout=5)
    try:
        connection.request("GET", parts.path or "/readyz")
        answer = connection.getresponse()
        body = json.loads(answer.read())
    except (OSError, HTTPException, ValueError) as error:
        print(f"error: no runner answers at {url}: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    if answer.status == 200:
        print("ready")
        return 0
    waiting = [part for part in body.get("components", []) if not part["ready"]]
    for part in waiting:
        print(f"not ready: {part['kind']} {part['name']}: {part.get('error', '')}")
    if not waiting:
        print("not ready: stopping")
    return 1
