"""Imports what a config names, from its `import_paths` and the installed packages.

What is imported is the user's code: whatever it raises is told in one line, an import that takes
long is told of while it does, and so is a second file of the same name.
"""

from __future__ import annotations

import importlib
import logging
import sys
import sysconfig
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import FrameSummary, extract_stack, extract_tb
from types import ModuleType
from typing import Any

from temporal_runner.values.wording import suggest

log = logging.getLogger("temporal_runner.plan")

_STANDARD_LIBRARY = sysconfig.get_path("stdlib")
_INSTALLED = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_SAY_AFTER = 5.0
"""Seconds after which what still runs is told of; each time after twice as many."""
_SAY_AT_LEAST_EVERY = 60.0


class DefinitionError(Exception):
    """What the config names does not import, or is not what it should be."""


def add_import_paths(paths: Sequence[str]) -> None:
    """Put folders at the front of the import path, in their order."""
    for path in reversed(paths):
        if path not in sys.path:
            sys.path.insert(0, path)


def import_target(target: str) -> Any:
    """The object that "package.module:name" names, or the module that "package.module" does.

    Raises:
        DefinitionError: It does not import, or is not there.
    """
    with telling(f"importing {target}"):
        return _imported(target)


def _imported(target: str) -> Any:
    module_name, _, name = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise DefinitionError(
                f"there is no module {error.name!r}: check the spelling and import_paths"
            ) from None
        raise DefinitionError(f"{module_name} does not import: {error}") from error
    # The module is the user's code: whatever it raises when imported is the user's to mend.
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}{last_line_of_user(error)}"
        raise DefinitionError(f"{module_name} does not import: {what}") from error
    for part in name.split(".") if name else []:
        try:
            found = getattr(found, part)
        except AttributeError:
            hint = suggest(part, dir(found))
            raise DefinitionError(f"there is no {part!r} in {module_name}{hint}") from None
        # A module's own __getattr__ is the user's code too.
        except (Exception, SystemExit) as error:
            raise DefinitionError(
                f"{target} cannot be read: {type(error).__name__}: {error}"
            ) from error
    return found


def two_files(target: str) -> str:
    """Which file a module was loaded from, where there is another of its name; else empty.

    A name that an installed package has too is no reason to speak: `import_paths` come first.
    """
    name, path = "", sys.path
    for part in target.partition(":")[0].split("."):
        name = f"{name}.{part}" if name else part
        module = sys.modules.get(name)
        if module is None:
            return ""
        loaded = getattr(module, "__file__", None)
        if loaded is None and not hasattr(module, "__path__"):
            return f"{name} is a module of Python itself" if _files(part, path) else ""
        others = [file for file in _files(part, path) if loaded and not _same(file, loaded)]
        if others:
            return f"there are two modules {name!r}: {loaded} was loaded, and {others[0]} was not"
        path = list(getattr(module, "__path__", ()))
    return ""


def _files(name: str, path: Sequence[str]) -> list[Path]:
    """The files in which a module can be, less those of Python and of installed packages."""
    folders = [Path(folder or ".") for folder in path if folder not in _INSTALLED]
    files = [folder / name / "__init__.py" for folder in folders]
    files += [folder / f"{name}.py" for folder in folders]
    return [file for file in files if file.is_file()]


def _same(file: Path, loaded: str) -> bool:
    return file.resolve() == Path(loaded).resolve()


def home_of(item: Any, name: str, module: ModuleType) -> str:
    """The module that made what another has under a name; empty where it made that itself.

    A package has what is below it. What a decorator of another module made of its function is its
    own, though it says that it is the decorator's: no other module has it.
    """
    home = getattr(item, "__module__", None) or ""
    if is_within(home, module):
        return ""
    found: Any = sys.modules.get(home)
    for part in getattr(item, "__qualname__", "<locals>").split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    if found is item:
        return home
    for other, holder in list(sys.modules.items()):
        has_it = getattr(holder, "__dict__", {}).get(name) is item
        if has_it and holder is not module and not is_within(other, module):
            return other
    return ""


def is_within(name: str, module: ModuleType) -> bool:
    """Whether a module of this name is the module, or lies below it."""
    below = hasattr(module, "__path__") and name.startswith(f"{module.__name__}.")
    return name == module.__name__ or below


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Say what is being done, and where it stands, while the user's code does not come back."""
    done = threading.Event()
    thread = threading.get_ident()

    def tell() -> None:
        pause = said = _SAY_AFTER
        while not done.wait(pause):
            frame = sys._current_frames().get(thread)
            where = _last_of_user(extract_stack(frame)) if frame else ""
            log.warning("still %s after %gs%s", what, said, where)
            pause = min(said, _SAY_AT_LEAST_EVERY)
            said += pause

    teller = threading.Thread(target=tell, name="tells of slow imports", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()


def last_line_of_user(error: BaseException) -> str:
    """The last line of the user's own code that led to the error."""
    return _last_of_user(extract_tb(error.__traceback__))


def _last_of_user(frames: Sequence[FrameSummary]) -> str:
    files = [frame for frame in frames if not frame.filename.startswith(("<", __file__))]
    own = [frame for frame in files if "site-packages" not in Path(frame.filename).parts]
    own = [frame for frame in own if not frame.filename.startswith(_STANDARD_LIBRARY)]
    last = (own or files)[-1:]
    return f" ({last[0].filename}:{last[0].lineno})" if last else ""
