"""What a worker's section may name beside workflows and activities."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from temporalio import activity
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.client import OutboundInterceptor, StartWorkflowInput, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.plugin import SimplePlugin
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker

seen: list[str] = []


class Shouting(Interceptor):
    """Puts what activities return into capitals."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        class Inbound(ActivityInboundInterceptor):
            async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
                result = await super().execute_activity(input)
                return result.upper() if isinstance(result, str) else result

        return Inbound(next)


class Watching(ClientInterceptor):
    """Notes which workflows are started."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        class Outbound(OutboundInterceptor):
            async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
                seen.append(input.id)
                return await super().start_workflow(input)

        return Outbound(next)


def make_plugin() -> SimplePlugin:
    """One of the SDK's own plugins."""
    return SimplePlugin("tests.plugin")


def make_converter() -> DataConverter:
    """A data converter."""
    return pydantic_data_converter


def make_executor() -> Executor:
    """An executor of the user's own."""
    return ThreadPoolExecutor(20, "my-own-threads")


class Counter:
    """Activities as methods of an object that a worker shares."""

    def __init__(self) -> None:
        self._count = 0

    @activity.defn
    def count(self) -> int:
        """How often it was called."""
        self._count += 1
        return self._count


class ExpectedError(Exception):
    """Fails a workflow, not its task."""


class Idle(SimplePlugin):
    """Lets a worker run without ever polling."""

    def __init__(self) -> None:
        super().__init__("tests.idle")

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:  # noqa: A002
        await asyncio.Event().wait()


class Dying(SimplePlugin):
    """Lets a worker die as often as DEATHS says: before it begins, or a second after, in turn."""

    def __init__(self) -> None:
        super().__init__("tests.dying")
        self._deaths = int(os.environ.get("DEATHS", "0"))

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:  # noqa: A002
        if self._deaths > 0 and self._deaths % 2 == 0:
            self._deaths -= 1
            raise RuntimeError("the worker could not begin")
        working = asyncio.ensure_future(next(worker))
        if self._deaths > 0:
            self._deaths -= 1
            await asyncio.wait({working}, timeout=1)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            raise RuntimeError("the worker lost its poller")
        await working
