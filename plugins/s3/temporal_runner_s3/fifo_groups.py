"""The order within message groups of a FIFO queue: one at a time, a failure holds the rest.

SQS gives no further message of a group while earlier ones are hidden, but one receive may bring
several of a group at once. Those behind the first wait here; where it fails they go back.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar


class Grouped(Protocol):
    """What waits in a group; without a group it waits for nothing."""

    @property
    def group(self) -> str | None:
        """The message group."""


T = TypeVar("T", bound=Grouped)


class FifoGroups(Generic[T]):
    """Lets one of each group through at a time."""

    def __init__(self) -> None:
        self._behind: dict[str, deque[T]] = {}

    def admit(self, one: T) -> bool:
        """Whether it may start now; if not it waits its turn."""
        if one.group is None:
            return True
        if one.group in self._behind:
            self._behind[one.group].append(one)
            return False
        self._behind[one.group] = deque()
        return True

    def done(self, one: T) -> T | None:
        """It succeeded: the next of its group, if one waits."""
        if one.group is None:
            return None
        behind = self._behind[one.group]
        if behind:
            return behind.popleft()
        del self._behind[one.group]
        return None

    def failed(self, one: T) -> list[T]:
        """It failed: what waited behind it and must wait for it again."""
        return [] if one.group is None else list(self._behind.pop(one.group, ()))
