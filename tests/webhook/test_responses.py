"""Answers in the words of the config, and answers with a workflow's result."""

from __future__ import annotations

from typing import Any

import pytest

from temporal_runner.plugin import Accepted, Delivery
from tests.webhook.support import OPEN, check_problem, listening, make_options

RESULT = {"total": 12.5, "lines": [{"item": "tea"}]}


async def complete(delivery: Delivery) -> None:
    await delivery.ack(
        Accepted(
            action="update_with_start",
            workflow_id="basket-1",
            run_id="run-1",
            completed=True,
            result=RESULT,
        )
    )


async def test_result_is_answered() -> None:
    """Where the route waited for the result and it came in time, it is 200 with the result."""
    async with listening(settle=complete) as hooks:
        answer = await hooks.post({})
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "completed",
        "workflow_id": "basket-1",
        "run_id": "run-1",
        "result": RESULT,
    }


async def test_json_template() -> None:
    """Placeholders keep their type where they are all of a text, and are text within one."""
    template = {
        "status": 201,
        "headers": {"X-Workflow": "id=${{ workflow_id }}"},
        "body": {
            "total": "${{ result.total }}",
            "first": "${{ result.lines.0.item }}",
            "say": "order ${{ event.data.order }}: ${{ result.total }}",
            "list": ["${{ result.lines }}", 1, None],
            "none": "${{ result.nothing.here }}",
        },
    }
    async with listening(OPEN, complete, response={"completed": template}) as hooks:
        answer = await hooks.post({"order": "A-1"})
    assert answer.status_code == 201
    assert answer.headers["x-workflow"] == "id=basket-1"
    assert answer.json() == {
        "total": 12.5,
        "first": "tea",
        "say": "order A-1: 12.5",
        "list": [RESULT["lines"], 1, None],
        "none": None,
    }


async def test_text_template() -> None:
    """A text is sent as text, as Slack's commands want it."""
    response = {"accepted": {"body": "started ${{ workflow_id }}"}}
    async with listening(OPEN, response=response) as hooks:
        answer = await hooks.post({})
    assert (answer.status_code, answer.text) == (200, "started order-1")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_template_without_a_body() -> None:
    """204 has no body, and the connection goes on."""
    async with listening(OPEN, response={"accepted": {"status": 204, "body": "not sent"}}) as hooks:
        for _ in range(2):
            answer = await hooks.post({})
            assert (answer.status_code, answer.content) == (204, b"")


async def test_each_outcome_has_its_template() -> None:
    """duplicate and ignored have their own; what has none is answered as always."""

    async def settle(delivery: Delivery) -> None:
        if delivery.event.data == "again":
            await delivery.ack(Accepted(action="start", workflow_id="w", duplicate=True))
        elif delivery.event.data == "unknown":
            await delivery.ack(Accepted())
        else:
            await delivery.reject("no")

    response = {"duplicate": {"body": "again"}, "ignored": {"status": 202, "body": {"ok": True}}}
    async with listening(OPEN, settle, response=response) as hooks:
        assert (await hooks.post('"again"')).text == "again"
        ignored = await hooks.post('"unknown"')
        assert (ignored.status_code, ignored.json()) == (202, {"ok": True})
        check_problem(await hooks.post('"else"'), 422)


async def test_a_header_cannot_be_split() -> None:
    """What an event brings into a header stays one header."""
    response = {"accepted": {"headers": {"X-Order": "${{ event.data }}"}}}
    async with listening(OPEN, response=response) as hooks:
        answer = await hooks.post('"A-1\\r\\nX-More: 1 \\u20ac"')
    assert answer.headers["x-order"] == "A-1??X-More: 1 ?"
    assert "x-more" not in answer.headers


@pytest.mark.parametrize(
    "template",
    [
        {"body": "${{ size(result) }}"},
        {"body": {"x": ["${{ unknown.thing }}"]}},
        {"headers": {"X": "${{ result"}},
        {"status": 500},
        {"headers": {"X Y": "1"}},
    ],
)
def test_templates_that_cannot_be_filled(template: dict[str, Any]) -> None:
    """What is no path, or no answer to what was taken, is an error of the config."""
    with pytest.raises(ValueError):
        make_options({**OPEN, "response": {"accepted": template}})
