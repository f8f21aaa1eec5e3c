"""ProcessDocument: from an event, or a URL, to a document that can be searched and its summary."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast, get_args

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from document_processing import activities
    from document_processing.documents import Failure, FailureKind, Summary
    from document_processing.locations import name_of, summary_of, url_of

_STEP: Any = {
    "start_to_close_timeout": timedelta(minutes=10),
    "heartbeat_timeout": timedelta(seconds=30),
    # A store that is away comes back; a document that cannot be read is not tried again at all.
    "schedule_to_close_timeout": timedelta(days=1),
    "retry_policy": RetryPolicy(maximum_interval=timedelta(minutes=1)),
}


@workflow.defn
class ProcessDocument:
    """Reads, indexes and describes a document, and writes the summary beside it."""

    @workflow.run
    async def run(self, source: Any) -> Summary:
        """Process a document.

        Args:
            source: What names it: a URL, the data of an S3 or Azure event, or a CloudEvent.

        Returns:
            What became of it. That it cannot be read is a result, and no failure of the workflow.
        """
        try:
            document = url_of(source)
        except ValueError as error:
            failure = Failure(kind="not_named", reason=str(error))
            return Summary(document="", name="", status="failed", failure=failure)
        summary = await self._processed(document)
        missing = summary.failure is not None and summary.failure.kind == "missing"
        if missing or summary_of(document) is None:
            return summary
        return await self._written(summary)

    async def _processed(self, document: str) -> Summary:
        named = Summary(document=document, name=name_of(document), status="processed")
        try:
            reading = await workflow.execute_activity(activities.read_document, document, **_STEP)
            passages, description = await asyncio.gather(
                workflow.execute_activity(activities.index_document, document, **_STEP),
                workflow.execute_activity(activities.describe_document, document, **_STEP),
            )
        except ActivityError as error:
            return replace(named, status="failed", failure=_failure(error))
        return replace(
            named,
            media_type=reading.media_type,
            size=reading.size,
            pages=reading.pages,
            words=reading.words,
            language=description.language,
            keywords=description.keywords,
            passages=passages,
        )

    async def _written(self, summary: Summary) -> Summary:
        """The summary with the URL that it is written at, if that is allowed."""
        written = replace(summary, written=summary_of(summary.document))
        try:
            await workflow.execute_activity(activities.write_summary, written, **_STEP)
        except ActivityError as error:
            if isinstance(error.cause, ApplicationError) and error.cause.type == "NotAllowed":
                return summary
            raise
        return written


def _failure(error: ActivityError) -> Failure:
    """What a step says of the document; any other error is the workflow's own."""
    if is_cancelled_exception(error):
        raise error
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type in get_args(FailureKind):
        return Failure(kind=cast(FailureKind, cause.type), reason=cause.message)
    raise error
