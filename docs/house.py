"""Draws docs/explanation/house.svg, the rooms of the framework, from the code's own imports.

`make docs` runs it. The floors are those that import-linter keeps (pyproject.toml); what a room
uses is read from its modules. With --check it writes nothing and exits with 1 where the picture is
not what it would draw.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from html import escape
from pathlib import Path
from textwrap import wrap

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "framework" / "temporal_runner"
PICTURE = Path(__file__).parent / "explanation" / "house.svg"

_WIDTH = 1000
_MARGIN = 10
_LINE = 15
"""Pixels from one line of text to the next."""
_CHARACTER = 7.4
"""Pixels that a character takes."""
_DRAWN_WITHIN = ("temporal_runner.runtime",)
"""The rooms whose own rooms are drawn."""

_STYLE = """\
text { font: 12px ui-monospace, monospace; fill: #24292f }
.room { font-weight: 600; font-size: 14px }
.about { font-family: system-ui, sans-serif }
.uses { fill: #57606a }
rect { fill: #f6f8fa; stroke: #d0d7de }
rect.runtime { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .uses { fill: #9198a1 }
rect { fill: #161b22; stroke: #3d444d } rect.runtime { fill: #0d1117 }
}"""


def floors(container: str) -> list[list[str]]:
    """The rooms of each floor of a package, the upper floors first, as import-linter has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract.get("containers") == [container]:
            return [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]
    raise LookupError(f"no contract has the layers of {container}")


def modules(room: Path) -> list[Path]:
    """The modules of a room that lie in no room within it."""
    if room.with_suffix(".py").exists():
        return [room.with_suffix(".py")]
    return sorted(one for one in room.glob("*.py") if one.name != "__init__.py")


def about(room: Path) -> str:
    """The first sentence of what a room, or a module, says of itself."""
    file = room.with_suffix(".py") if room.with_suffix(".py").exists() else room / "__init__.py"
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return text.partition("\n\n")[0].replace("\n", " ")


def uses(room: Path, others: list[str], container: str) -> list[str]:
    """Which of the other rooms of its package a room imports, in their order."""
    files = [room.with_suffix(".py")] if room.with_suffix(".py").exists() else room.rglob("*.py")
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                if name.startswith(f"{container}."):
                    found.add(name.removeprefix(f"{container}.").split(".")[0])
    return [other for other in others if other in found - {room.name}]


def sheet(container: str, folder: Path, x: float, y: float, width: float) -> tuple[str, float]:
    """The floors of a package as SVG, and where they end.

    Args:
        container: The package's name.
        folder: Its folder.
        x: The left edge, in pixels.
        y: The upper edge.
        width: Its width.
    """
    parts = []
    storeys = floors(container)
    names = [room for storey in storeys for room in storey]
    for storey in storeys:
        share = (width - _MARGIN * (len(storey) - 1)) / len(storey)
        drawn, bottom = [], y
        for index, name in enumerate(storey):
            left = x + index * (share + _MARGIN)
            text, end = _room(folder / name, names, container, left, y, share)
            drawn.append(text)
            bottom = max(bottom, end)
        for index, text in enumerate(drawn):
            left = x + index * (share + _MARGIN)
            walls = f'x="{left:g}" y="{y:g}" width="{share:g}" height="{bottom - y:g}"'
            parts.append(f'<rect class="{container.rpartition(".")[2]}" {walls} rx="6"/>{text}')
        y = bottom + _MARGIN
    return "\n".join(parts), y - _MARGIN


def _room(
    room: Path, others: list[str], container: str, x: float, y: float, width: float
) -> tuple[str, float]:
    """What stands in a room: its name, what it is, its modules, what it uses; and where it ends."""
    columns = int((width - 2 * _MARGIN) / _CHARACTER)
    lines = [(room.name, "room")]
    lines += [(line, "about") for line in wrap(about(room), columns)]
    is_package = not room.with_suffix(".py").exists()
    inner = f"{container}.{room.name}" in _DRAWN_WITHIN
    if is_package and not inner:
        names = " · ".join(module.stem for module in modules(room))
        lines += [(line, "") for line in wrap(names, columns)]
    if used := uses(room, others, container):
        lines += [(line, "uses") for line in wrap("uses " + ", ".join(used), columns)]
    text = "\n".join(
        f'<text class="{kind}" x="{x + _MARGIN:g}" y="{y + 3 + _LINE * (index + 1):g}">'
        f"{escape(line)}</text>"
        for index, (line, kind) in enumerate(lines)
    )
    end = y + _LINE * len(lines) + _MARGIN
    if inner:
        rooms, end = sheet(f"{container}.{room.name}", room, x + _MARGIN, end, width - 2 * _MARGIN)
        text, end = f"{text}\n{rooms}", end + _MARGIN
    return text, end


def draw() -> str:
    """The picture of the framework."""
    rooms, end = sheet("temporal_runner", PACKAGE, _MARGIN, _MARGIN, _WIDTH - 2 * _MARGIN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {end + _MARGIN:g}"'
        ' role="img"><title>The rooms of temporal_runner, the upper floors first</title>\n'
        f"<style>{_STYLE}</style>\n{rooms}\n</svg>\n"
    )


if __name__ == "__main__":
    drawn = draw()
    if "--check" in sys.argv:
        sys.exit(0 if PICTURE.read_text() == drawn else f"{PICTURE} is stale: make docs")
    PICTURE.write_text(drawn)
