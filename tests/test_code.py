"""What the code itself must not do: compare secrets with ==, run texts as code, read unsafely."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from temporal_runner.config.model import AdminSettings
from temporal_runner_webhook.config import WebhookOptions
from tests.support import BIN, ROOT

SOURCES = [*sorted((ROOT / "framework").rglob("*.py")), *sorted((ROOT / "plugins").rglob("*.py"))]
_SECRET = re.compile(r"secret|passw|signature|digest|token|given|hmac|credential|reveal|api_key")
_HOW_MANY = "sum((bool(keys) for keys in (self.jwks_url, self.public_keys, self.secrets)))"
_ALLOWED = {
    "signed.py": {"given"},  # whether the prefix that the documentation shows stands before it
    "sources.py": {"secret"},  # the kit's, looked for in outputs
    "schemes.py": {"bool(self.secrets)", _HOW_MANY},
    "temporal.py": {"self._credentials()"},  # ours, with those of ours that a client was made of
    "sns.py": {"texts['SignatureVersion']"},
}
"""By file, what has such a name and is no secret, or is nothing that a stranger guesses."""


def _compared(tree: ast.AST) -> Iterator[ast.expr]:
    """What == and != stand between, and what is looked up with `in` among others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            if any(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops):
                yield from operands
            elif any(isinstance(one, ast.In | ast.NotIn) for one in node.ops):
                yield node.left
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"startswith", "endswith", "__eq__", "index", "count"}
        ):
            yield node.func.value


def careless(source: str) -> list[str]:
    """Comparisons in which a secret may stand, by the names in them."""
    found = []
    for operand in _compared(ast.parse(source)):
        text = "" if isinstance(operand, ast.Constant) else ast.unparse(operand)
        if _SECRET.search(text.lower()):
            found.append(f"line {operand.lineno}: {text}")
    return found


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_secrets_are_compared_in_constant_time(file: Path) -> None:
    """By hmac.compare_digest: how long == takes tells how much of a guess was right."""
    found = careless(file.read_text())
    allowed = _ALLOWED.get(file.name, set())
    found = [one for one in found if one.partition(": ")[2] not in allowed]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "if given == key: ok()",
        "if signature != expected: refuse()",
        "found = secret.reveal() == text",
        "if token in known: ok()",
        "ok = digest.startswith(x)",
        "hashlib.sha256(b).hexdigest() == header",
    ],
)
def test_the_test_above_finds_careless_comparisons(source: str) -> None:
    """It would be of no use otherwise."""
    assert careless(source)


UNSAFE = {
    "S307": "eval(input())",
    "S102": "exec(input())",
    "S301": "import pickle\n\npickle.loads(b'')",
    "S506": "import yaml\n\nyaml.load('', yaml.Loader)",
    "S602": "import subprocess\n\nsubprocess.run(input(), shell=True)",
    "S324": "import hashlib\n\nhashlib.md5(b'')",
    "S501": "import httpx\n\nhttpx.get('https://h', verify=False)",
    "S105": "password = 'hunter2'",
    "S608": "'SELECT * FROM t WHERE a = ' + input()",
}


@pytest.mark.parametrize("rule", UNSAFE)
@pytest.mark.parametrize(
    "folder",
    [
        "framework/temporal_runner",
        "framework/temporal_runner/cli",
        "framework/temporal_runner/runtime",
        *(f"plugins/{name}/temporal_runner_{name}" for name in ("webhook", "s3", "azure")),
    ],
)
def test_ruff_refuses_what_is_unsafe(rule: str, folder: str) -> None:
    """The rules are on for the framework and for each plugin, and no exception hides one."""
    command = [str(BIN / "ruff"), "check", "--output-format", "concise", "--stdin-filename"]
    done = subprocess.run(
        [*command, str(ROOT / folder / "made_up.py"), "-"],
        input=UNSAFE[rule],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert f" {rule} " in done.stdout, done.stdout + done.stderr


def test_what_listens_does_so_on_loopback_unless_it_is_told_otherwise() -> None:
    """The admin endpoint asks nobody who they are."""
    assert AdminSettings().host == "127.0.0.1"
    assert WebhookOptions.model_fields["host"].default == "127.0.0.1"
