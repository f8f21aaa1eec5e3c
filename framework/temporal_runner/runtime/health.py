"""The admin endpoint: what probes and people ask a running runner.

`/livez`: the event loop turns. `/readyz`: every part does its work (200), or which does not and
why (503). `/status`: the same with counts, always 200. `/metrics`: the counts for Prometheus.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from temporal_runner.http import Application, HttpAnswer, HttpRequest, problem
from temporal_runner.runtime import metrics
from temporal_runner.values.redaction import redacted_within

Status = dict[str, Any]


def admin_endpoint(status: Callable[[], Status]) -> Application:
    """The endpoint's application.

    Args:
        status: Gives the runner's status: `ready` and `components`.
    """

    async def answer(request: HttpRequest) -> HttpAnswer:
        page = pages.get(request.path)
        if page is None:
            detail = f"there are {', '.join(pages)}"
            return problem(HTTPStatus.NOT_FOUND, detail)
        if request.method not in {"GET", "HEAD"}:
            allow = (b"allow", b"GET, HEAD")
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is taken here", allow)
        return page()

    def livez() -> HttpAnswer:
        return _json({"live": True})

    def readyz() -> HttpAnswer:
        now = redacted_within(status())
        parts = [
            {key: part[key] for key in ("kind", "name", "ready", "error") if part.get(key) != ""}
            for part in now["components"]
        ]
        body = {"ready": now["ready"], "components": parts}
        return _json(body, HTTPStatus.OK if now["ready"] else HTTPStatus.SERVICE_UNAVAILABLE)

    def full() -> HttpAnswer:
        return _json(redacted_within(status()))

    def counted() -> HttpAnswer:
        return HttpAnswer(HTTPStatus.OK, metrics.exposition(status()), metrics.MEDIA_TYPE)

    pages = {"/livez": livez, "/readyz": readyz, "/status": full, "/metrics": counted}
    return answer


def _json(body: object, status: HTTPStatus = HTTPStatus.OK) -> HttpAnswer:
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return HttpAnswer(status, text.encode())
