"""Secrets of every kind, planted wherever a config has room for one."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel

from temporal_runner.config.model import RunnerConfig
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.values.secrets import Secret


def places() -> set[str]:
    """Every place of a config that holds a secret, told from the models themselves."""
    catalog = Catalog.installed()
    found = set(_places(RunnerConfig, ""))
    for name, (kind, _) in catalog.sources.kinds.items():
        found |= set(_places(kind.options, f"{name}"))
    for name, (strategy, _) in catalog.strategies.kinds.items():
        found |= set(_places(strategy.options, f"strategy {name}"))
    return found


def _places(annotation: Any, at: str) -> Iterator[str]:
    if annotation is Secret:
        yield at
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        scheme = fields.get("scheme")
        if scheme is not None and get_origin(scheme.annotation) is Literal:
            at = f"{at}({get_args(scheme.annotation)[0]})"
        for name, field in fields.items():
            yield from _places(field.annotation, f"{at}.{name}".lstrip("."))
    else:
        for inner in get_args(annotation):
            yield from _places(inner, at)


class Plants:
    """What was planted where.

    Attributes:
        texts: The secrets by their place; a place may have several.
        environ: The variables that hold some of them.
    """

    def __init__(self, folder: Path) -> None:
        self.texts: dict[str, list[str]] = {}
        self.environ: dict[str, str] = {}
        self._folder = folder
        self._forms = itertools.cycle(["text", "variable", "from_env", "from_file", "default"])

    def __call__(self, place: str, text: str = "", *, only: str = "") -> Any:
        """Plant a secret: what the config has at that place.

        Args:
            place: As `places` calls it, or one of the environment.
            text: The secret, where its form matters; else it is made up.
            only: The part of the text that is secret.
        """
        number = sum(map(len, self.texts.values()))
        text = text or f"planted{number}-{uuid4().hex}"
        self.texts.setdefault(place, []).append(only or text)
        name = f"PLANTED_{number}"
        match next(self._forms):
            case "variable":
                self.environ[name] = text
                return f"${{{name}}}"
            case "default" if "}" not in text and "\n" not in text:
                return f"${{{name}:-{text}}}"
            case "from_env":
                self.environ[name] = text
                return {"from_env": name}
            case "from_file":
                file = self._folder / f"secret-{number}"
                file.write_text(text + "\n")
                return {"from_file": str(file)}
        return text

    def in_environment(self, name: str) -> None:
        """Plant one where an SDK looks for it by itself."""
        self.environ[name] = f"planted-{uuid4().hex}"
        self.texts[name] = [self.environ[name]]

    def found_in(self, output: str | bytes) -> list[str]:
        """The places whose secrets show in an output, as they are or in another writing."""
        text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output
        return [
            place
            for place, secrets in self.texts.items()
            if any(shape in text for secret in secrets for shape in _shapes(secret))
        ]


def _shapes(secret: str) -> Iterator[str]:
    for part in {secret, *(line for line in secret.splitlines() if len(line) > 30)}:
        if not part.startswith("-----"):
            yield part
            yield quote(part, safe="")
            yield json.dumps(part)[1:-1]
            yield base64.b64encode(part.encode()).decode().rstrip("=")
            yield part.encode().hex()
