"""`runner new-plugin`: writes a complete package of an event source, to begin from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_TEMPLATES = Path(__file__).parent / "templates" / "plugin"
_SUFFIX = ".template"


def new_plugin(
    name: Annotated[
        str, typer.Argument(help="What a config will write after `source:`.", show_default=False)
    ],
    into: Annotated[Path, typer.Option(help="The folder that the package's folder goes into.")] = (
        Path()
    ),
) -> None:
    """Write a package with an event source that works, its options and its tests."""
    import re
    from string import Template

    from temporal_runner.errors import UsageError

    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(f"{name}: a plugin's name is lower-case letters, digits and single dashes")
    project = into / f"temporal-runner-{name}"
    if project.exists():
        raise UsageError(f"{project}: is there already; choose another name or --into folder")
    words = {
        "name": name,
        "distribution": project.name,
        "package": project.name.replace("-", "_"),
        "class_name": "".join(word.capitalize() for word in name.split("-")),
    }
    for template in sorted(_TEMPLATES.rglob(f"*{_SUFFIX}")):
        inside = template.relative_to(_TEMPLATES).as_posix().removesuffix(_SUFFIX)
        path = project / inside.replace("__package__", words["package"])
        text = Template(template.read_text(encoding="utf-8")).substitute(words)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    print(f"{project}: written. Go on with:")
    print(f"  cd {project} && pip install -e '.[test]' && pytest && mypy && runner plugins")
