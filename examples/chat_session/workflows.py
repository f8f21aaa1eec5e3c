"""ChatSession: a conversation about the indexed documents, for as long as somebody talks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Literal

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from chat_session.activities import find_reply
    from chat_session.conversation import (
        LONGEST_MESSAGE,
        Closing,
        Question,
        Reply,
        Session,
        Turn,
    )
    from document_processing.documents import Passage

_MOST_KEPT = 200_000
"""Characters of turns that are carried from one run to the next."""


@workflow.defn
class ChatSession:
    """Answers messages one after the other, and remembers what was said."""

    @workflow.init
    def __init__(self, session: Session | None = None) -> None:
        self._session = session or Session()
        self._turns = list(self._session.turns)
        self._left_out = self._session.left_out
        self._here = 0
        """Turns of this run."""
        self._asked = 0
        self._ended = False
        self._one_at_a_time = asyncio.Lock()

    @workflow.run
    async def run(self, session: Session | None = None) -> Closing:
        """Talk until the session is ended or nothing is said for its idle time."""
        reason = await self._until_it_ends()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if reason is None:
            kept = _newest(self._turns)
            left_out = self._left_out + len(self._turns) - len(kept)
            workflow.continue_as_new(replace(self._session, turns=kept, left_out=left_out))
        return Closing(reason=reason, turns=self._left_out + len(self._turns))

    async def _until_it_ends(self) -> Literal["ended", "idle"] | None:
        """Why it ends; None where it is to continue as new."""
        while True:
            asked = self._asked
            try:
                await workflow.wait_condition(
                    lambda asked=asked: self._ended or self._is_long() or self._asked != asked,  # type: ignore[misc]
                    timeout=timedelta(seconds=self._session.idle_seconds),
                )
            except TimeoutError:
                if not workflow.all_handlers_finished():
                    continue  # a reply that takes long is no silence
                self._ended = True
                return "idle"
            if self._ended:
                return "ended"
            if self._is_long():
                return None

    def _is_long(self) -> bool:
        suggested = workflow.info().is_continue_as_new_suggested()
        return suggested or self._here >= self._session.turns_a_run

    @workflow.update
    async def send_message(self, text: str) -> Reply:
        """Answer a message."""
        self._asked += 1
        info = workflow.current_update_info()
        assert info is not None
        async with self._one_at_a_time:
            for turn in self._turns:
                if turn.id == info.id:
                    return turn.reply  # answered by a run before this one
            reply = await self._reply_to(text)
            self._turns.append(Turn(id=info.id, message=text, reply=reply))
            self._here += 1
            self._asked += 1  # its silence begins now
            return reply

    @send_message.validator
    def _check_message(self, text: str) -> None:
        if self._ended:
            raise ApplicationError("the session has ended", type="SessionEnded")
        if not text.strip():
            raise ApplicationError("the message is empty", type="MessageRefused")
        if len(text) > LONGEST_MESSAGE:
            message = f"the message has more than {LONGEST_MESSAGE} characters"
            raise ApplicationError(message, type="MessageRefused")

    async def _reply_to(self, text: str) -> Reply:
        # The workers of the documents search: they have the index.
        passages = await workflow.execute_activity(
            "search_passages",
            text,
            result_type=list[Passage],
            task_queue="document-processing",
            start_to_close_timeout=timedelta(seconds=30),
        )
        return await workflow.execute_activity(
            find_reply,
            Question(message=text, passages=passages, before=self._turns[-10:]),
            start_to_close_timeout=timedelta(minutes=2),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30), maximum_attempts=10),
        )

    @workflow.query
    def history(self) -> list[Turn]:
        """What was said, the oldest first."""
        return self._turns

    @workflow.signal
    def end(self) -> None:
        """End the session, once what was asked is answered."""
        self._ended = True


def _newest(turns: list[Turn]) -> list[Turn]:
    """As many turns, from the end, as may be carried on."""
    room, kept = _MOST_KEPT, 0
    for turn in reversed(turns):
        room -= turn.size
        if room < 0:
            break
        kept += 1
    return turns[len(turns) - kept :]
