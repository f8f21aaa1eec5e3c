"""`runner health`: for a container's health check, on the standard library alone."""

from __future__ import annotations

from typing import Annotated

import typer


def health(
    url: Annotated[
        str, typer.Option(help="The runner's readiness endpoint.")
    ] = "http://127.0.0.1:8088/readyz",
) -> None:
    """Ask a running runner whether it is ready."""
    import json
    import sys
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    from temporal_runner.errors import UsageError

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
        raise typer.Exit(1) from None
    finally:
        connection.close()
    if answer.status != 200:
        waiting = [part for part in body.get("components", []) if not part["ready"]]
        for part in waiting:
            print(f"not ready: {part['kind']} {part['name']}: {part.get('error', '')}")
        if not waiting:
            print("not ready: stopping")
        raise typer.Exit(1)
    print("ready")
