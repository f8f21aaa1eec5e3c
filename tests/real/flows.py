"""Workflows and activities for the tests that run against a real server."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy


@workflow.defn
class Echo:
    """Returns its argument, by way of an activity that is a plain function."""

    @workflow.run
    async def run(self, value: Any) -> Any:
        return await workflow.execute_activity(
            echo, value, start_to_close_timeout=timedelta(seconds=10)
        )


@activity.defn
def echo(value: Any) -> Any:
    """Runs in a thread."""
    assert threading.current_thread() is not threading.main_thread()
    return value


@workflow.defn
class Basket:
    """An entity: collects what signals and updates bring, until it is closed."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._closed = False

    @workflow.run
    async def run(self, *first: Any) -> list[Any]:
        self._items[:0] = first
        await workflow.wait_condition(lambda: self._closed)
        return self._items

    @workflow.signal
    def add(self, item: Any) -> None:
        self._items.append(item)

    @workflow.signal
    def add_other(self, item: Any) -> None:
        self._items.append(item)

    @workflow.update
    def put_other(self, item: Any) -> int:
        self._items.append(item)
        return len(self._items)

    @workflow.update
    def put(self, item: Any) -> int:
        self._items.append(item)
        return len(self._items)

    @put.validator
    def _put(self, item: Any) -> None:
        if item == "refuse me":
            raise ValueError("not in this basket")

    @workflow.signal
    def close(self) -> None:
        self._closed = True

    @workflow.query
    def items(self) -> list[Any]:
        return self._items


@workflow.defn
class Slow:
    """Has an activity that takes as many seconds as it is told."""

    @workflow.run
    async def run(self, seconds: float) -> str:
        return await workflow.execute_activity(
            work, seconds, start_to_close_timeout=timedelta(seconds=60)
        )


@activity.defn
async def work(seconds: float) -> str:
    """Works for a while, and says whether it was let finish."""
    await asyncio.sleep(seconds)
    return "finished"


@workflow.defn
class Held:
    """Has an activity that ends when a file appears; it is tried once."""

    @workflow.run
    async def run(self, file: str) -> str:
        return await workflow.execute_activity(
            hold,
            file,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


@activity.defn
async def hold(file: str) -> str:
    """Works until the file is there."""
    while not Path(file).exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.02)
    return "finished"
