"""An S3 listener's options: what belongs together, and what an error says."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from temporal_runner_s3.config import S3Options, claims
from tests.conftest import WriteConfig
from tests.support import run_runner

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/uploads"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "mode: queue needs queue_url"),
        ({"mode": "list"}, "mode: list needs bucket"),
        ({"queue_url": QUEUE, "prefix": "in/"}, "prefix does not belong to mode: queue"),
        (
            {"mode": "list", "bucket": "b", "max_receives": 3},
            "max_receives does not belong to mode: list",
        ),
        ({"mode": "list", "bucket": "b", "existing": "skip"}, "existing: skip needs a state_file"),
        ({"queue_url": "uploads"}, "queue_url"),
        ({"queue_url": QUEUE, "wait_time": "21s"}, "wait_time"),
        ({"queue_url": QUEUE, "visibility_timeout": "13h"}, "visibility_timeout"),
        ({"queue_url": QUEUE, "assume_role": {"role_arn": "admin"}}, "role_arn"),
    ],
)
def test_wrong_options_say_what_is_wrong(options: dict[str, Any], expected: str) -> None:
    """What a mode needs and what it does not know is told before anything runs."""
    with pytest.raises(ValidationError, match=expected):
        S3Options(**options)


def test_long_poll_is_sqs_longest_by_default() -> None:
    """A receive waits 20 seconds unless it is told otherwise: few calls where little happens."""
    assert S3Options(queue_url=QUEUE).wait_time == timedelta(seconds=20)


def test_external_id_is_not_shown() -> None:
    """The role's external ID is a secret."""
    role = {"role_arn": "arn:aws:iam::123456789012:role/reader", "external_id": "hush"}
    assert "hush" not in repr(S3Options(queue_url=QUEUE, assume_role=role))


def test_queue_and_state_file_belong_to_one_listener() -> None:
    """Two listeners on one queue would take each other's events away."""
    assert list(claims(S3Options(queue_url=QUEUE))) == [f"the queue {QUEUE}"]
    listing = S3Options(mode="list", bucket="b", state_file="seen.db")
    assert list(claims(listing)) == ["the state file seen.db"]


CONFIG = """\
listeners:
  one:
    source: s3
    options: {queue_url: %s}
    routes: [{start: Process, task_queue: q}]
  two:
    source: s3
    options: {queue_url: %s}
    routes: [{start: Process, task_queue: q}]
"""


def test_validate_refuses_two_listeners_on_one_queue(write_config: WriteConfig) -> None:
    """`runner validate` knows without a network that two listeners share a queue."""
    code, output = run_runner("validate", write_config(CONFIG % (QUEUE, QUEUE)))
    assert code == 2
    assert "the listener one has the queue" in output


def test_declaring_the_source_loads_no_vendor_sdk() -> None:
    """A config without an S3 listener does not pay for AWS's SDK."""
    check = (
        "import sys, temporal_runner_s3.hooks;"
        " sys.exit(any(m in sys.modules for m in ('aiobotocore', 'botocore', 'aiohttp')))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
