"""The `runner` command: its entry point, errors as a line, exit codes 0, 1 and 2.

`runner health` runs every few seconds in every container: as it is mostly written it is answered
here, without typer. All other commands, and its own help and mistakes, are `app`'s.
"""

import os
import signal
import sys

from temporal_runner.errors import RunnerError, UsageError

READY = "http://127.0.0.1:8088/readyz"
"""Where a runner with `admin: {}` says whether it is ready."""


def main() -> None:
    """The `runner` command: 0 done, 1 it ran and failed, 2 the config or command line is wrong."""
    open_closed_descriptors()
    try:
        match sys.argv[1:]:
            case ["health"]:
                _health()
            case ["health", "--url", url] if not url.startswith("-"):
                _health(url)
            case _:
                _end_at_sigterm()
                from temporal_runner.cli.app import app

                app()
    except UsageError as error:
        _print(str(error))
        sys.exit(2)
    except RunnerError as error:
        _print(f"error: {error}")
        sys.exit(1)


def open_closed_descriptors() -> None:
    """Have the descriptors 0 to 2 be something, as a few supervisors do not.

    Else the first files and sockets that are opened take their places: what is printed goes to
    Temporal, or Python and the SDK's runtime abort (SIGABRT).
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free: this one
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            stream = os.fdopen(descriptor, "r" if descriptor == 0 else "w", closefd=False)
            setattr(sys, name, stream)


def _print(error: str) -> None:
    from temporal_runner.values.redaction import redacted

    print(redacted(error), file=sys.stderr)


def _health(url: str = READY) -> None:
    from temporal_runner.cli.health_probe import ask

    sys.exit(ask(url))


def _end_at_sigterm() -> None:
    """End at SIGTERM, with a shell's exit code for it; a running system replaces this by its drain.

    A container's first process has no default action: until it says what a signal means to it,
    the kernel drops the signal, and a stop would wait out its grace.
    """
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
