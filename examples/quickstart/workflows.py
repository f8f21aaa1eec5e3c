"""The quickstart's workflow: what happens with an order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from quickstart.activities import check_order, ship_order


@workflow.defn
class FulfilOrder:
    """Check an order, then have the other worker ship it."""

    @workflow.run
    async def run(self, order: dict[str, Any]) -> str:
        """Returns the tracking number."""
        await workflow.execute_activity(
            check_order, order, start_to_close_timeout=timedelta(seconds=10)
        )
        return await workflow.execute_activity(
            ship_order,
            order,
            task_queue="shipping",
            start_to_close_timeout=timedelta(seconds=10),
        )
