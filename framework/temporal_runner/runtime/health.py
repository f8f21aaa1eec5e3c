"""The admin endpoint: what probes and people ask a running runner.

`/livez`: the event loop turns. `/readyz`: every part does its work (200), or which does not and
why (503). `/status`: the same with counts, always 200.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from temporal_runner.showing import redacted_within

Status = dict[str, Any]


def admin_app(status: Callable[[], Status]) -> Starlette:
    """The endpoint's application.

    Args:
        status: Gives the runner's status: `ready` and `components`.
    """

    async def livez(request: Request) -> JSONResponse:
        return JSONResponse({"live": True})

    async def readyz(request: Request) -> JSONResponse:
        now = redacted_within(status())
        parts = [
            {key: part[key] for key in ("kind", "name", "ready", "error") if part.get(key) != ""}
            for part in now["components"]
        ]
        body = {"ready": now["ready"], "components": parts}
        return JSONResponse(body, status_code=200 if now["ready"] else 503)

    async def full(request: Request) -> JSONResponse:
        return JSONResponse(redacted_within(status()))

    return Starlette(
        routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/status", full)]
    )
