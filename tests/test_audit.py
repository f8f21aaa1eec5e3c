"""The dependency audit fails on a known vulnerability, and says where it could not be made."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support import ROOT, free_port

PIP_AUDIT = ROOT / ".tools" / "audit" / "bin" / "pip-audit"
HASH = "--hash=sha256:" + "0" * 64
pytestmark = pytest.mark.skipif(not PIP_AUDIT.exists(), reason="`make audit` installs pip-audit")


@pytest.fixture
def osv() -> Iterator[str]:
    """A service that knows of one vulnerability, in the package `leaky`."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            package = {"name": "leaky", "ecosystem": "PyPI"}
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}]
            affected = [{"package": package, "ranges": ranges, "versions": ["1.0"]}]
            one = {"id": "PYSEC-0000-1", "aliases": [], "details": "it leaks", "affected": affected,
                   "published": "2026-01-01T00:00:00Z"}  # fmt: skip
            known = {"vulns": [one]} if asked["package"]["name"] == "leaky" else {}
            body = json.dumps(known).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()
    thread.join()


def audit(folder: Path, url: str, *pins: str) -> tuple[int, str]:
    """Audit some pins by a service at a URL."""
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{pin} \\\n    {HASH}\n" for pin in pins))
    command = [sys.executable, str(ROOT / ".ci" / "audit.py"), str(PIP_AUDIT), str(constraints)]
    command += ["--service", "osv", "--osv-url", url]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_known_vulnerability_fails_it(osv: str, tmp_path: Path) -> None:
    """The package, the vulnerability and what mends it are named."""
    code, output = audit(tmp_path, osv, "fine==1.0", "leaky==1.0")
    assert code == 1, output
    assert "leaky 1.0: PYSEC-0000-1, fixed in 2.0" in output
    assert "2 packages by osv, 1 vulnerabilities" in output


def test_nothing_known_is_a_success(osv: str, tmp_path: Path) -> None:
    """All were asked for."""
    code, output = audit(tmp_path, osv, "fine==1.0", "good==1.0")
    assert code == 0
    assert "2 packages by osv, 0 vulnerabilities" in output


def test_a_service_that_is_away_is_no_success_and_no_failure(tmp_path: Path) -> None:
    """It says that the audit was not made."""
    code, output = audit(tmp_path, f"http://127.0.0.1:{free_port()}/", "leaky==1.0")
    assert code == 0
    assert "NOT DONE" in output
