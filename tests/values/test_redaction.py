"""What is shown has no secrets in it, and nothing that a terminal takes for a command."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from temporal_runner.cli.log import JsonLines, Text
from temporal_runner.values.redaction import (
    printable,
    redacted,
    redacted_within,
    remember,
    remember_environment,
)
from temporal_runner.values.secrets import Secret

PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(c * 64 for c in "QRS") + "\n-----END-----\n"


def test_a_secret_of_the_config_is_starred_out_of_others_words() -> None:
    """As it is, percent-encoded, and as JSON writes it."""
    Secret('se/cret "of" mine')
    for shape in ('se/cret "of" mine', "se%2Fcret%20%22of%22%20mine", 'se/cret \\"of\\" mine'):
        assert redacted(f"denied: {shape}!") == "denied: ***!"


def test_parts_of_a_secret() -> None:
    """A connection string's key, one line of a private key."""
    remember("AccountName=a;AccountKey=c2VjcmV0LWtleS1vZi1taW5l;EndpointSuffix=x")
    remember(PEM)
    assert redacted("the key c2VjcmV0LWtleS1vZi1taW5l is wrong") == "the key *** is wrong"
    assert redacted("AccountName=a is wrong") == "AccountName=a is wrong"
    assert redacted("R" * 64) == "***"
    assert redacted("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


def test_what_is_no_secret_is_shown() -> None:
    """Short ones would star out words; a variable that is not set says where the secret is."""
    remember("dev")
    remember("${API_KEY:?ask the operators}")
    text = "dev: ${API_KEY:?ask the operators}"
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:hunter2@host/x", "https://***@host/x"),
        ("https://hunter2@host/x", "https://***@host/x"),
        ("GET /q?sv=1&sig=hunter2%3D&x=1", "GET /q?sv=1&sig=***&x=1"),
        ("/hooks?code=hunter2", "/hooks?code=***"),
        ("s3://bucket/key@1", "s3://bucket/key@1"),
        ("https://host/a@b?page=2", "https://host/a@b?page=2"),
    ],
)
def test_urls(text: str, shown: str) -> None:
    """Who signs in by a URL, and with which signature."""
    assert redacted(text) == shown


def test_variables_named_as_secrets_are() -> None:
    """What SDKs read by themselves; but not the names of files."""
    remember_environment(
        {
            "AWS_SECRET_ACCESS_KEY": "aws-hunter2",
            "MY_API_KEY": "api-hunter2",
            "AZURE_FEDERATED_TOKEN_FILE": "/var/run/token",
            "PWD": "/home/of/somebody",
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        }
    )
    text = "aws-hunter2 api-hunter2 /var/run/token /home/of/somebody AKIAEXAMPLE"
    assert redacted(text) == "*** *** /var/run/token /home/of/somebody AKIAEXAMPLE"


def test_every_text_of_a_status() -> None:
    """At any depth."""
    remember("deep-hunter2")
    status = {"a": ["deep-hunter2", 1, None], "b": {"error": "x deep-hunter2"}}
    assert redacted_within(status) == {"a": ["***", 1, None], "b": {"error": "x ***"}}


def line(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("n", logging.WARNING, "f", 1, message, args, None)


def test_no_sender_writes_a_line_of_the_log() -> None:
    """An event's ID with line ends and terminal commands in it."""
    shown = Text().format(line("event %s rejected", "e\r\n12:00:00.000 ERROR   all is lost\x1b[2J"))
    first, second = shown.split("\n")
    assert second == "    12:00:00.000 ERROR   all is lost\\x1b[2J rejected"
    assert "\r" not in first
    written = JsonLines().format(line("event %s", "e\n\x1b[2J"))
    assert "\n" not in written
    assert json.loads(written)["message"] == "event e\n\x1b[2J"


def test_printable() -> None:
    """One line, readable."""
    assert printable("a\nb\x1b[31m\u202ec größe") == "a\\nb\\x1b[31m\\u202ec größe"


def test_an_error_of_a_command_is_redacted() -> None:
    """The last way out: what `runner` prints before it ends."""
    script = (
        "import sys; from temporal_runner.values.redaction import remember\n"
        "remember('planted-hunter2')\n"
        "import temporal_runner.cli as cli; from temporal_runner.errors import RunnerError\n"
        "def fail(url=''): raise RunnerError('denied: planted-hunter2')\n"
        "cli._health = fail; sys.argv = ['runner', 'health']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "error: denied: ***\n")
