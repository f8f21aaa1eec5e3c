"""Workflows whose tasks fail for ever, each for another reason, and what they log."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import SearchAttributeKey

TOO_LARGE = 3_000_000


@activity.defn
async def speak() -> None:
    """Logs."""
    activity.logger.info("an activity speaks")
    activity.logger.debug("an activity whispers")


@workflow.defn
class Speaking:
    """Logs, in a workflow and in an activity."""

    @workflow.run
    async def run(self) -> None:
        """Does it."""
        workflow.logger.info("a workflow speaks")
        workflow.logger.debug("a workflow whispers")
        await workflow.execute_activity(speak, start_to_close_timeout=timedelta(seconds=5))


@workflow.defn
class UnknownAttribute:
    """Writes a search attribute that the server does not know."""

    @workflow.run
    async def run(self) -> None:
        """Does it."""
        key = SearchAttributeKey.for_keyword("Nowhere")
        workflow.upsert_search_attributes([key.value_set("x")])


@workflow.defn
class LargeResult:
    """Returns more than a payload may hold."""

    @workflow.run
    async def run(self) -> str:
        """Does it."""
        return "x" * TOO_LARGE


@workflow.defn
class LargeInput:
    """Gives an activity more than a payload may hold."""

    @workflow.run
    async def run(self) -> None:
        """Does it."""
        await workflow.execute_activity(
            "speak", "x" * TOO_LARGE, start_to_close_timeout=timedelta(seconds=5)
        )


@workflow.defn(sandboxed=False)
class LargeOutside:
    """The same as LargeResult, without the sandbox."""

    @workflow.run
    async def run(self) -> str:
        """Does it."""
        return "x" * TOO_LARGE


@workflow.defn
class Broken:
    """Its code fails."""

    @workflow.run
    async def run(self) -> None:
        """Does it."""
        raise RuntimeError("a mistake in a workflow")
