"""A small HTTP server that speaks OpenAI's chat completions."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support import ThreadedServer


class ChatEndpoint(ThreadedServer):
    """Answers with the next of the answers that it was given; the last one again and again.

    Attributes:
        requests: What it was asked: the headers, by lower-case name, and the body.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self._answers: list[tuple[int, dict[str, str], Any]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                endpoint.requests.append((headers, body))
                known = self.path == "/v1/chat/completions"
                status, more, content = endpoint._next() if known else (404, {}, {})
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        super().__init__(Handler)
        self.url = f"http://{self.host}/v1"

    def says(self, text: str) -> None:
        """Answer so, from now on."""
        choice = {"index": 0, "message": {"role": "assistant", "content": text}}
        self.answers(200, {"object": "chat.completion", "choices": [choice]})

    def answers(self, status: int, content: Any, **headers: str) -> None:
        """Answer so, after the answers that were given before."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers.append((status, named, content))

    def _next(self) -> tuple[int, dict[str, str], Any]:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
