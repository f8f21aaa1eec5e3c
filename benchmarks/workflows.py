"""The workflows that benchmarks start: as little work as there can be."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

TASK_QUEUE = "orders"


@workflow.defn
class TakeOrder:
    """Done as soon as it is begun."""

    @workflow.run
    async def run(self, order: dict[str, Any]) -> str:
        """The order's ID."""
        return str(order["id"])
