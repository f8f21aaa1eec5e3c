"""The log of a command: to stderr, for people or as JSON lines, and what the SDK may add to it."""

from __future__ import annotations

import json
import logging
import time

from temporal_runner.values.line_rate import LineRate
from temporal_runner.values.redaction import printable_lines, redacted

_OF_USERS = ("temporalio.activity", "temporalio.nexus", "temporalio.workflow")
"""What `activity.logger` and `workflow.logger` write to: the user's lines, not the SDK's."""
_OF_THE_SDK = ("temporalio.", "temporal_runner.sdk_core")


def set_up_log(level: str = "info", form: str = "text") -> None:
    """Log to stderr, for people or as JSON lines."""
    output = logging.StreamHandler()
    output.setFormatter(JsonLines() if form == "json" else Text())
    output.addFilter(SdkRepeats())
    logging.basicConfig(level=level.upper(), handlers=[output], force=True)
    # The SDK's debugging is seldom what is wanted.
    logging.getLogger("temporalio").setLevel(max(logging.WARNING, logging.root.level))
    for name in _OF_USERS:
        logging.getLogger(name).setLevel(logging.root.level)
    logging.captureWarnings(True)


class SdkRepeats(logging.Filter):
    """Lets the SDK's own lines through at a bounded rate.

    A workflow whose code fails is tried again for ever, with a traceback each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._rate = LineRate()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is written; how often it was not is added when it is again."""
        if not record.name.startswith(_OF_THE_SDK) or record.name.startswith(_OF_USERS):
            return True
        message = record.getMessage()
        core = getattr(record, "temporal_log", None)
        place = (record.name, record.lineno, core.message if core else record.funcName)
        missed = self._rate.left_out((place, message[:500]), place)
        if missed:
            record.msg = f"{message} ({missed} times more since this was last written)"
            record.args = None
        return missed is not None


class Text(logging.Formatter):
    """A line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The line, with no control characters and no secrets in it."""
        return printable_lines(redacted(super().format(record)))


class JsonLines(logging.Formatter):
    """A line for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with no secrets in it."""
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
