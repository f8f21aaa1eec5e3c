"""A workflow module that the sandbox refuses: it asks for the time when it is imported."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow

MADE = datetime.now()


@workflow.defn
class Careless:
    """Never runs."""

    @workflow.run
    async def run(self) -> None:
        """Does nothing."""
