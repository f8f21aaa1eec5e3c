"""The workflows that benchmarks start: as little work as there can be, or much of Python's."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow

TASK_QUEUE = "orders"


@workflow.defn
class TakeOrder:
    """Done as soon as it is begun."""

    @workflow.run
    async def run(self, order: dict[str, Any]) -> str:
        """The order's ID."""
        return str(order["id"])


@workflow.defn
class TakeAndPack:
    """One activity, as most workflows have at least."""

    @workflow.run
    async def run(self, order: dict[str, Any]) -> str:
        """The order's ID."""
        return await workflow.execute_activity(
            pack, str(order["id"]), start_to_close_timeout=timedelta(minutes=1)
        )


@activity.defn
async def pack(order: str) -> str:
    """Nothing."""
    return order


@workflow.defn
class Reckon:
    """Spreads so many activities over whoever works on the task queue."""

    @workflow.run
    async def run(self, amount: int) -> None:
        """All are done."""
        longest = timedelta(minutes=1)
        await asyncio.gather(
            *(
                workflow.execute_activity(reckon, start_to_close_timeout=longest)
                for _ in range(amount)
            )
        )


@activity.defn
def reckon() -> int:
    """Python alone: about 50 ms of one core, holding the interpreter's lock."""
    total = 0
    for number in range(700_000):
        total += number * number % 7
    return total
