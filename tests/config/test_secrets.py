"""No secret reaches a message, a source line, a repr or JSON, however it got into the config."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from temporal_runner.config.problems import ConfigError
from tests.config.reading import (
    WORKER,
    fresh_imports,  # noqa: F401
    plan_of,
    read,
    write_flows,
)
from tests.conftest import WriteConfig

SECRET = "hunter2-correct-horse"


def shown(path: Path, environ: dict[str, str] | None = None) -> str:
    """All that a person sees of what is wrong with a config."""
    with pytest.raises(ConfigError) as caught:
        plan_of(path, environ)
    return str(caught.value)


IN_THE_FILE = {
    "unknown key": f"temporal: {{api_kee: {SECRET}}}",
    "after it in a line": f"temporal: {{api_key: {SECRET}, addres: 'h:1'}}",
    "quoted, after it in a line": f'temporal: {{api_key: "{SECRET}, x", addres: "h:1"}}',
    "wrong type": f"temporal:\n  tls: {{client_key_data: [{SECRET}]}}",
    "under a mapping": f"temporal:\n  grpc_meta:\n    x-custom: [{SECRET}]",
    "in a list": f"listeners: {{l: {{source: webhook, routes: [{{start: X}}], options: {{verify:"
    f" {{scheme: standard_webhooks, secrets: ['{SECRET}!']}}}}}}}}",
    "in a list of lines": "listeners:\n  l:\n    source: webhook\n    routes: [{start: X}]\n"
    f"    options:\n      verify:\n        scheme: standard_webhooks\n        secrets:\n"
    f"        - '{SECRET}!'\n",
    "a default": "temporal:\n  api_key: ${KEY:-" + SECRET + "} ${\n",
    "a default of a wrong value": "admin: {port: '${DB_PASSWORD:-" + SECRET + "}'}",
    "YAML that breaks after it": f"temporal:\n  api_key: {SECRET}: x",
    "YAML that breaks within it": f'temporal:\n  api_key: "{SECRET}\n',
    "YAML that breaks at its second half": f'temporal:\n  api_key: "{SECRET}" {SECRET}\n',
    "YAML that breaks in its list": f"secrets:\n- {SECRET}: [\n",
    "a key twice": f"temporal:\n  api_key: a\n  api_key: {SECRET}\n",
    "a tag": f"temporal:\n  api_key: !secret {SECRET}\n",
    "user information in a URL": f"temporal: {{address: 'https://me:{SECRET}@host:1/x'}}",
}


@pytest.mark.parametrize("text", IN_THE_FILE.values(), ids=IN_THE_FILE)
def test_a_secret_in_the_file_is_not_shown(write_config: WriteConfig, text: str) -> None:
    """The source line that an error shows leaves out what may be a secret."""
    assert "hunter2" not in shown(write_config(text))


def test_what_says_where_a_secret_is_may_be_shown(write_config: WriteConfig) -> None:
    """The name of a variable or a file is no secret, and helps."""
    message = shown(write_config("temporal: {tls: {client_key_data: '${MY_KEY:?ask ops}'}}"))
    assert "${MY_KEY:?ask ops}" in message.splitlines()[1]
    message = shown(write_config("temporal:\n  api_key: {from_env: MY_KEY}\n"))
    assert "temporal.api_key: the environment variable MY_KEY is not set" in message
    assert "{from_env: MY_KEY}" in message.splitlines()[1]


def test_a_listeners_name_hides_nothing(write_config: WriteConfig) -> None:
    """A component called after a token is not taken for one."""
    config = write_config("workers:\n  token-refresh:\n    task_queue: q\n    workflows: [Wrong]\n")
    assert "[Wrong]" in shown(config)


@pytest.mark.parametrize(
    "text",
    [
        "temporal: {address: '${S}'}",
        "log: {level: '${S}'}",
        "admin: {port: '${S}'}",
        "temporal: {tls: '${S}'}",
        "shutdown_timeout: ${S}",
        "workers: {w: {task_queue: q, workflows: ['${S}']}}",
    ],
)
def test_values_of_variables_are_not_shown(write_config: WriteConfig, text: str) -> None:
    """What comes out of the environment may be a secret: messages name the variable."""
    message = shown(write_config(text), {"S": SECRET})
    assert "hunter2" not in message
    assert "${S}" in message


PLUGIN = """
from pydantic import model_validator
from temporal_runner.plugin import EventSourceKind, Options, PullSource, Secret, hookimpl

class LeakyOptions(Options):
    token: Secret
    url: str = ""
    error: str = "ValueError"

    @model_validator(mode="after")
    def _check(self):
        raise {"ValueError": ValueError, "KeyError": KeyError}[self.error](
            f"{self.token.reveal()} is not right for {self.url}")

@hookimpl
def runner_event_sources():
    yield EventSourceKind("leaky", "leaks", LeakyOptions, PullSource)
"""


@pytest.mark.parametrize("error", ["ValueError", "KeyError"])
@pytest.mark.parametrize("token", [SECRET, "${S}", "{from_env: S}", "{from_file: secret.txt}"])
def test_plugins_validators_give_nothing_away(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, token: str, error: str
) -> None:
    """A plugin's validator that puts a secret into its message does not get it shown."""
    monkeypatch.setenv("S", SECRET)
    write_config(SECRET + "\n", "secret.txt")
    write_config(PLUGIN, "leaky.py")
    config = write_config(
        "plugins: [leaky.py]\n"
        "listeners:\n  l:\n    source: leaky\n    routes: [{start: X}]\n"
        f"    options:\n      token: {token}\n      url: 'https://${{S}}'\n      error: {error}\n"
    )
    message = shown(config, {"S": SECRET})
    assert "is not right for https://" in message
    assert "hunter2" not in message


def test_a_loaded_secret_prints_as_stars(write_config: WriteConfig, tmp_path: Path) -> None:
    """The settings hold secrets that no repr, str or JSON dump shows."""
    write_flows(tmp_path)
    write_config(SECRET + "\n", "key.txt")
    config = write_config(
        WORKER + "temporal:\n  api_key: ${S}\n  tls: {client_cert_data: x, client_key_data:"
        " {from_file: key.txt}}\n  grpc_meta: {x: '${S}'}\n"
    )
    settings = read(config, {"S": SECRET}).settings.temporal
    assert settings.api_key is not None
    assert settings.api_key.reveal() == SECRET
    assert settings.tls is not None
    assert settings.tls.client_key_data is not None
    assert settings.tls.client_key_data.reveal() == SECRET
    plan = plan_of(config, {"S": SECRET})
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(plan.connections)):
        assert "hunter2" not in text
    assert json.loads(settings.model_dump_json())["api_key"] == "***"
