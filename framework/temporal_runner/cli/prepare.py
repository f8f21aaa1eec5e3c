"""What several commands begin with: a config file to a plan, with its warnings and its log."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from temporal_runner.config.load import load
from temporal_runner.plan import Plan, make_plan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.values.redaction import printable_lines, redacted, remember_environment


def read_plan(config: Path, only: Iterable[str] = ()) -> Plan:
    """The plan of a config file; its warnings go to stderr, and the log is set up as it says.

    Raises:
        UsageError: The config, a plugin that it needs or `only` is wrong.
    """
    remember_environment(os.environ)
    catalog = Catalog.installed()
    with _no_collection():
        plan = make_plan(load(config), catalog, only)
    for warning in plan.warnings:
        print(redacted(str(warning)), file=sys.stderr)
    for broken in catalog.broken:
        print(redacted(f"warning: {broken}"), file=sys.stderr)
    set_up_log(plan.log.level, plan.log.format)
    return plan


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Nearly all that is made of a config stays; to look for garbage in it is a third of the time.

    That is with 1,500 routes: the collector looks at all of it again and again as it grows.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def set_up_log(level: str = "info", form: str = "text") -> None:
    """Log to stderr, for people or as JSON lines."""
    output = logging.StreamHandler()
    output.setFormatter(_JsonLines() if form == "json" else _Text())
    logging.basicConfig(level=level.upper(), handlers=[output], force=True)
    # The SDK repeats what the runner's own lines say; its debugging is seldom what is wanted.
    logging.getLogger("temporalio").setLevel(max(logging.WARNING, logging.root.level))
    logging.captureWarnings(True)


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(redacted(super().format(record)))


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)
