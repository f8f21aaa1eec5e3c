"""docker-compose.yml as a file: what it promises of each service, and no secret in it.

That both versions of Compose read it, and that it works, is shown in tests/containers.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from temporal_runner.config.load import load
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.values.durations import parse_duration
from tests.deploy.settings import ENVIRONMENT, PARTS
from tests.support import ROOT

FILE = ROOT / "docker-compose.yml"
PROD = ROOT / "configs" / "prod.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_each_part_of_the_config_is_a_service() -> None:
    """With Temporal, and nothing else; `--only` names what the config has."""
    assert set(SERVICES) == {"temporal", *PARTS}
    for service, part in PARTS.items():
        assert SERVICES[service]["command"] == ["--only", part]
    assert len({SERVICES[service]["image"] for service in PARTS}) == 1


@pytest.mark.parametrize("service", PARTS)
def test_each_service_has_what_its_part_of_the_config_asks_for(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variables that its container gets, and those alone, its config makes a plan."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    for name, value in SERVICES[service]["environment"].items():
        if value is not None:
            monkeypatch.setenv(name, ENVIRONMENT.get(name, "some"))
    plan = make_plan(load(PROD), Catalog.installed(), [PARTS[service]])
    assert len(plan.workers) + len(plan.listeners) == 1


@pytest.mark.parametrize("service", PARTS)
def test_each_service_waits_is_watched_restarted_and_stopped_in_peace(service: str) -> None:
    """Temporal is waited for without an end, but by an inbox; a stop has the drain's time."""
    written = SERVICES[service]
    wait = ["runner", "wait", "configs/prod.yaml", "--timeout", "none", "--"]
    start = ["runner", "start", "configs/prod.yaml"]
    settings = load(PROD, ENVIRONMENT).settings
    listener = settings.listeners.get(PARTS[service])
    has_inbox = listener is not None and listener.inbox is not None
    assert written["entrypoint"] == (start if has_inbox else [*wait, *start])
    assert written["depends_on"] == {"temporal": {"condition": "service_started"}}
    assert written["healthcheck"]["test"] == ["CMD", "runner", "health"]
    assert written["restart"] == "unless-stopped"
    assert parse_duration(written["stop_grace_period"]) > settings.shutdown_timeout
    assert written["read_only"]
    assert "runner-data:/var/lib/runner" in written["volumes"]


def test_no_secret_is_in_the_files() -> None:
    """Secrets are variables without a default, and empty in the file that is copied."""
    example = (ROOT / ".env.example").read_text()
    secret = re.compile(r"SECRET|KEY|TOKEN|CONNECTION_STRING")
    for service in SERVICES.values():
        for name, value in (service.get("environment") or {}).items():
            if secret.search(name):
                assert value is None or value.startswith(f"${{{name}:?")
    for name, value in re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE):
        assert not (secret.search(name) and value), name


def test_each_variable_is_in_the_file_that_is_copied() -> None:
    """Nothing has to be looked up in docker-compose.yml."""
    example = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    read = set(re.findall(r"\$\{([A-Z_]+)", FILE.read_text()))
    handed_on = {
        name
        for service in SERVICES.values()
        for name, value in (service.get("environment") or {}).items()
        if value is None
    }
    assert (read | handed_on) - {"AWS_SESSION_TOKEN"} <= example


def test_ports_are_open_to_this_machine_alone_by_default() -> None:
    """Whoever wants more says so."""
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert port.startswith(("127.0.0.1:", "${WEBHOOK_BIND:-127.0.0.1}:"))
