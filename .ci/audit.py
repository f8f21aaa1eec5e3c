"""`make audit`: known vulnerabilities in what constraints.txt pins, by pip-audit.

Fails where one is known. Where no service that knows of them is reached from here, it says so and
is done: an audit that could not be made is no reason to stop, and no success either.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_SERVICES = ("pypi", "osv")


def main() -> int:
    """Audit by the first service that answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pip_audit", help="the pip-audit program")
    parser.add_argument("constraints", type=Path, help="pinned, with hashes")
    parser.add_argument("--service", action="append", help="pypi or osv; both in turn by default")
    parser.add_argument("--osv-url", help="where OSV is, if not in its usual place")
    given = parser.parse_args()
    for service in given.service or _SERVICES:
        command = [
            given.pip_audit,
            "-s",
            service,
            "--format",
            "json",
            "--disable-pip",
            "--require-hashes",
        ]
        command += ["--progress-spinner", "off", "--timeout", "10"]
        command += ["--osv-url", given.osv_url] if given.osv_url else []
        if not _answers(command, given.constraints):
            print(f"audit: the service {service} is not reached from here")
            continue
        found = _audit(command, given.constraints)
        if found is not None:
            return _report(service, found)
    print(f"audit: NOT DONE for {given.constraints}: no service was reached; run it where one is")
    return 0


def _answers(command: list[str], constraints: Path) -> bool:
    """Whether a service knows the first of the packages, before it is asked for all."""
    lines = constraints.read_text().splitlines()
    ends = [index for index, line in enumerate(lines) if not line.endswith("\\")]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as first:
        first.write("\n".join(lines[: ends[0] + 1]) + "\n")
        first.flush()
        found = _audit(command, Path(first.name))
    return found is not None and any("skip_reason" not in one for one in found)


def _audit(command: list[str], requirements: Path) -> list[dict[str, Any]] | None:
    """What a service says of each package; None where it does not answer."""
    done = subprocess.run([*command, "-r", str(requirements)], capture_output=True, text=True)
    try:
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    return dependencies


def _report(service: str, found: list[dict[str, Any]]) -> int:
    unknown = [one["name"] for one in found if "skip_reason" in one]
    bad = [(one, vulnerability) for one in found for vulnerability in one.get("vulns", [])]
    for one, vulnerability in bad:
        fixed = ", ".join(vulnerability.get("fix_versions", [])) or "nothing yet"
        print(f"audit: {one['name']} {one['version']}: {vulnerability['id']}, fixed in {fixed}")
    print(f"audit: {len(found) - len(unknown)} packages by {service}, {len(bad)} vulnerabilities")
    if unknown:
        print(f"audit: not known there: {', '.join(unknown)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
