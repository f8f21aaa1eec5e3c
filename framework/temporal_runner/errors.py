"""Every public error, grouped by what can be done about it.

The bottom of the package: everything may import this module, it imports nothing of ours.
"""

from __future__ import annotations


class RunnerError(Exception):
    """The base of what the runner reports to its user: a line or a few, never a traceback."""


# Mend the configuration, the command line or the installation. ------------------------------------


class UsageError(RunnerError):
    """The config or the command line is wrong; the command ends with exit code 2."""


class PluginError(UsageError):
    """A runner plugin that is needed does not load, or two plugins claim one name."""


# Wait and try again. ------------------------------------------------------------------------------


class TransientError(Exception):
    """It did not work now and may work later.

    Attributes:
        retry_after: Seconds the other side asks us to wait, or None where it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(TransientError):
    """It takes nothing just now, and whoever raised this can be waited for: nothing has failed."""


class NotKept(TransientError):
    """A source's own place for rejected events does not take this one: the runner is to keep it."""


# Trying again cannot help. ------------------------------------------------------------------------


class PermanentError(RunnerError):
    """It will fail the same way each time, until somebody changes something.

    Attributes:
        next_step: What that somebody should do, as a sentence; empty where nothing is known.
    """

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(f"{message}\n  next step: {next_step}" if next_step else message)
        self.next_step = next_step


class EventRejected(Exception):
    """This event can never succeed, though others may: keep it where a person finds it."""


# It was tried for as long as the config allows. ---------------------------------------------------


class GaveUp(RunnerError):
    """The attempts or the time that the retry settings allow are used up.

    Attributes:
        attempts: How many attempts were made.
    """

    def __init__(self, message: str, *, attempts: int) -> None:
        super().__init__(message)
        self.attempts = attempts
