"""For the tests of runner plugins: conformance kits, fakes, and fixtures by a pytest plugin.

from temporal_runner.testing import BackoffConformance, EventSourceConformance

Each name is loaded when it is first used: the pytest plugin beside it is loaded with every pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from temporal_runner.testing.backoff import BackoffConformance
    from temporal_runner.testing.fakes import (
        MemoryDelivery,
        MemoryQueue,
        MemorySource,
        RecordingDeliver,
        make_context,
    )
    from temporal_runner.testing.receiving import Receiving
    from temporal_runner.testing.service import Sent
    from temporal_runner.testing.sources import EventSourceConformance

__all__ = [
    "EventSourceConformance",
    "Sent",
    "BackoffConformance",
    "Receiving",
    "RecordingDeliver",
    "MemoryQueue",
    "MemorySource",
    "MemoryDelivery",
    "make_context",
]

_MODULES = {
    "EventSourceConformance": "sources",
    "Sent": "service",
    "BackoffConformance": "backoff",
    "Receiving": "receiving",
}

for _module in {*_MODULES.values(), "steps"}:
    pytest.register_assert_rewrite(f"{__name__}.{_module}")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'fakes')}"), name)
