"""temporal-runner: Temporal workers and event listeners from one YAML file.

The few public names; each is loaded when it is first used. Plugin authors import
`temporal_runner.plugin` instead.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own costs `runner health` a tenth of its time
if TYPE_CHECKING:
    from typing import Any

    from temporal_runner.errors import GaveUp, PermanentError, RunnerError, UsageError
    from temporal_runner.retry.connector import no_wait
    from temporal_runner.runtime.connection.connect import connect_to_temporal_with_retry

__all__ = [
    "connect_to_temporal_with_retry",
    "no_wait",
    "RunnerError",
    "UsageError",
    "PermanentError",
    "GaveUp",
]

_MODULES = {
    "connect_to_temporal_with_retry": "temporal_runner.runtime.connection.connect",
    "no_wait": "temporal_runner.retry.connector",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'temporal_runner' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES.get(name, "temporal_runner.errors")), name)
