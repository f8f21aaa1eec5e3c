"""What the runner starts for a worker with `processes`: no command, it takes no arguments."""

from __future__ import annotations

import logging
import sys

from temporal_runner.cli.log import set_up_log
from temporal_runner.errors import PermanentError
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.runtime import loop
from temporal_runner.runtime.workers.child import Runner, work
from temporal_runner.runtime.workers.processes import Report


def main() -> None:
    """Do what the runner says on stdin until it says stop: SIGTERM."""
    runner = Runner()
    assignment = runner.assignment()
    log = assignment.config.settings.log
    set_up_log(log.level, log.format)
    if log.level != "debug":  # the runner says the same of the same connection
        logging.getLogger("temporal_runner.temporal").setLevel(logging.ERROR)
    try:
        plan = make_plan(assignment.config, Catalog.installed())
        loop.run(lambda: work(plan, assignment.number, runner))
    except Exception as error:
        permanent = isinstance(error, PermanentError)
        logging.getLogger("temporal_runner").debug("failed", exc_info=True)
        runner.tell(Report(failed=str(error) or repr(error), permanent=permanent))
        sys.exit(1)


if __name__ == "__main__":
    main()
