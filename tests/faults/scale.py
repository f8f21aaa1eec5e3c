"""How much the suite does: short within `make test`, full by `make faults` (FAULTS=full)."""

from __future__ import annotations

import os
import random
from typing import TypeVar

T = TypeVar("T")
FULL = os.environ.get("FAULTS") == "full"
SEED = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
"""Draws the moments and the kinds of all faults; printed with each ledger."""
os.environ["FAULTS_SEED"] = str(SEED)  # of the processes that pytest starts too


def scaled(short: T, full: T) -> T:
    """One figure for `make test`, the other for `make faults`."""
    return full if FULL else short
