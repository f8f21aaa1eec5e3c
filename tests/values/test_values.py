"""Durations, sizes and secrets: what people write, and what comes of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from temporal_runner.values.durations import (
    Duration,
    PositiveDuration,
    format_duration,
    parse_duration,
)
from temporal_runner.values.options import Options
from temporal_runner.values.secrets import Secret
from temporal_runner.values.sizes import Size, parse_size
from temporal_runner.values.texts import Text, Url


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5), ("30s", 30), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("7d", 604800),
        ("1m500ms", 60.5), ("0s", 0), ("0", 0), (0, 0), (timedelta(seconds=2), 2),
    ],
)  # fmt: skip
def test_durations(text: object, seconds: float) -> None:
    """A duration is numbers with units, or a bare zero."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [30, 1.5, "30", "", "s", "1 s", "-1s", "1s ", "1s\n", "1y", "1S", True, False, None, [], "٣s",
     "9" * 400 + "s", "9" * 5000 + "d"],
)  # fmt: skip
def test_no_durations(text: object) -> None:
    """What has no unit, or is no length of time that there is, is refused."""
    with pytest.raises(ValueError):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=10_000)))
def test_a_duration_for_people_reads_back(duration: timedelta) -> None:
    """What `format_duration` writes is a duration again, and about the same one."""
    again = parse_duration(format_duration(duration))
    assert abs(again - duration) <= max(duration * 0.05, timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512B", 512), ("1kB", 1000), ("256KiB", 262144), ("1.5MB", 1_500_000), ("1GiB", 2**30),
        (100, 100), ("100", 100), (0, 0), ("9007199254740993B", 9007199254740993),
    ],
)  # fmt: skip
def test_sizes(text: object, size: int) -> None:
    """A size is a number with a unit, or a number of bytes; exact however large."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", [-1, "-1B", "1 MB", "1mb", "MB", "", True, 1.5, None, "9" * 400 + "MB", 2**63, "٣B"]
)
def test_no_sizes(text: object) -> None:
    """What is no number of bytes that fits a machine is refused."""
    with pytest.raises(ValueError):
        parse_size(text)


def test_positive_means_longer_than_zero() -> None:
    """A length of time that must not be zero says so in words."""
    with pytest.raises(ValidationError, match="must be longer than 0"):
        TypeAdapter(PositiveDuration).validate_python("0s")
    assert TypeAdapter(Duration).validate_python("0s") == timedelta()


class Sample(Options):
    secret: Secret
    wait: Duration = timedelta()
    most: Size = 0


def test_secrets_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret is a text, a variable or a file, less the newline that editors add."""
    monkeypatch.setenv("MY_SECRET", "from the environment")
    (tmp_path / "secret").write_text("from a file\n\n")
    for written, value in [
        ("plain", "plain"),
        ({"from_env": "MY_SECRET"}, "from the environment"),
        ({"from_file": str(tmp_path / "secret")}, "from a file\n"),
    ]:
        assert Sample.model_validate({"secret": written}).secret.reveal() == value


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "a secret is a text (in quotes, and not empty), {from_env: NAME} or {from_file"),
        (5, "a secret is a text (in quotes, and not empty), {from_env: NAME} or {from_file"),
        ({}, "a secret is a text"),
        ({"from_env": "X", "from_file": "y"}, "a secret is a text"),
        ({"from_env": "NOT_SET_ANYWHERE"}, "the environment variable NOT_SET_ANYWHERE is not set"),
        (
            {"from_file": "/nowhere/at/all"},
            "cannot read the secret's file /nowhere/at/all: No such",
        ),
    ],
)
def test_no_secrets(written: object, message: str) -> None:
    """What is no secret says what is one, or which variable or file is missing."""
    with pytest.raises(ValidationError) as caught:
        Sample.model_validate({"secret": written})
    assert caught.value.errors()[0]["msg"].startswith(message)


def test_empty_and_undecodable_files(tmp_path: Path) -> None:
    """A secret's file that is empty or no text is an error that shows nothing of it."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "raw").write_bytes(b"hunter2\xff")
    with pytest.raises(ValidationError, match="is empty"):
        Sample.model_validate({"secret": {"from_file": str(tmp_path / "empty")}})
    with pytest.raises(ValidationError, match="it is not UTF-8 text") as caught:
        Sample.model_validate({"secret": {"from_file": str(tmp_path / "raw")}})
    assert "hunter2" not in str(caught.value)


def test_a_secret_shows_itself_nowhere() -> None:
    """Text, repr, format and JSON of a secret are stars; equality still works."""
    sample = Sample(secret=Secret("hunter2"))
    shown = f"{sample} {sample!r} {sample.secret} {sample.secret!r} {sample.model_dump_json()}"
    assert "hunter2" not in shown
    assert "***" in shown
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1


@pytest.mark.parametrize(
    "text",
    ["http://localhost", "https://sqs.eu-west-1.amazonaws.com/1/q", "http://[::1]:9000/",
     "https://h?x=1", "https://h:443/a%20b#c"],
)  # fmt: skip
def test_urls(text: str) -> None:
    """A scheme of HTTP's, a host, and what may follow; it stays as it was written."""
    assert TypeAdapter(Url).validate_python(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "queue", "//h/q", "ftp://h/q", "s3://h", "https://", "https:///q", "http://:80/", "http://[",
     "http://h:0/", "http://h:99999/", "http://h:x/", "https://me:pass@h/", "https://h/a b",
     " https://h", "https://h\n", 7, None],
)  # fmt: skip
def test_no_urls(text: object) -> None:
    """Without a host, with another scheme, or with a password that would be shown."""
    with pytest.raises(ValidationError):
        TypeAdapter(Url).validate_python(text)


def test_texts_are_not_empty() -> None:
    """An option that has to say something."""
    assert TypeAdapter(Text).validate_python(" ") == " "
    with pytest.raises(ValidationError):
        TypeAdapter(Text).validate_python("")
