"""The S3 tests' own support: a server that is missing is never overlooked."""

from __future__ import annotations

import pytest

from tests.s3.support import needed


def test_missing_server_skips_on_a_laptop_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server's binary a developer's run says so, and CI's is red."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-server is not installed"):
        needed("no-such-server")
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-server is not installed"):
        needed("no-such-server")
