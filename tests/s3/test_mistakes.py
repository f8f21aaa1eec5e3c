"""Mistakes that no retry can mend are permanent and named; what may pass is waited out."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from pydantic import ValidationError

from temporal_runner.plugin import PermanentError, TransientError
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.errors import explained
from tests.s3.conftest import OpenSource
from tests.s3.support import Gate, Server, Sqs


def refuse(code: str, message: str = "", *, final: bool = True) -> None:
    with explained("the queue q", refusal_is_final=final):
        raise ClientError({"Error": {"Code": code, "Message": message}}, "ReceiveMessage")


async def test_half_a_key_pair_is_permanent(
    queue: Sqs, open_source: OpenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variables' names."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PermanentError, match="AWS_SECRET_ACCESS_KEY"):
        await open_source(queue_url=queue.url)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
async def test_a_ca_bundle_that_cannot_be_read_is_permanent(
    open_source: OpenSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    """With the file and its variable."""
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with pytest.raises(PermanentError, match="AWS_CA_BUNDLE") as raised:
        await open_source(queue_url="https://127.0.0.1:1/1/q", endpoint_url="https://127.0.0.1:1")
    assert str(bundle) in str(raised.value)


async def test_a_broken_config_file_is_permanent(
    queue: Sqs, open_source: OpenSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the file."""
    file = tmp_path / "config"
    file.write_text("[default\nregion")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    with pytest.raises(PermanentError, match=str(file)):
        await open_source(queue_url=queue.url)


async def test_a_state_file_of_garbage_is_permanent(
    moto: Server, bucket: str, open_source: OpenSource, tmp_path: Path
) -> None:
    """With the file."""
    file = tmp_path / "state.db"
    file.write_bytes(b"garbage" * 1000)
    with pytest.raises(PermanentError, match=str(file)):
        await open_source(mode="list", bucket=bucket, state_file=str(file))


@pytest.mark.parametrize("name", ["s3://x/y", "s3://x", "x/y", "/x"])
def test_a_bucket_is_a_name(name: str) -> None:
    """And no URL."""
    with pytest.raises(ValidationError, match="the bucket's name alone"):
        S3Options(mode="list", bucket=name)


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        ("SignatureDoesNotMatch", "Signature expired: 2026 is now earlier than", "clock"),
        ("SignatureDoesNotMatch", "Signature not yet current: 2026", "clock"),
        ("RequestTimeTooSkewed", "", "clock"),
        ("AuthorizationHeaderMalformed", "expecting 'eu-west-1'", "region"),
        ("SignatureDoesNotMatch", "Credential should be scoped to a valid region", "region"),
    ],
)
def test_what_may_pass_is_waited_out(code: str, message: str, told: str) -> None:
    """With what to look at."""
    with pytest.raises(TransientError, match=told):
        refuse(code, message)


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "SignatureDoesNotMatch"])
async def test_keys_that_were_right_once_are_waited_out(
    queue: Sqs, moto: Server, open_source: OpenSource, code: str
) -> None:
    """Refused at first they are wrong; refused later, somebody is renewing them."""
    with Gate(moto) as gate:
        gate.refusal = code
        given = {"queue_url": queue.url, "endpoint_url": gate.url}
        with pytest.raises(PermanentError, match="credentials"):
            await open_source(**given)
        gate.refusal = ""
        await (await open_source(**given)).close()
        gate.refusal = code
        with pytest.raises(TransientError, match=code):
            await open_source(**given)
