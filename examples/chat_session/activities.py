"""A session's one activity of its own: to find a reply."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from chat_session.conversation import Question, Reply
from chat_session.responder import Endpoint, EndpointBusy, EndpointRefuses, quote


@activity.defn
async def find_reply(question: Question) -> Reply:
    """Answer a question from its passages."""
    endpoint = Endpoint.of_environment()
    if endpoint is None:
        return quote(question)
    try:
        return await endpoint.answer(question)
    except EndpointRefuses as error:
        raise ApplicationError(str(error), type="EndpointRefuses", non_retryable=True) from error
    except EndpointBusy as error:
        delay = None if error.retry_after is None else timedelta(seconds=error.retry_after)
        raise ApplicationError(str(error), type="EndpointBusy", next_retry_delay=delay) from error
