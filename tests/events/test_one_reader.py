"""A CloudEvent is the same event, or is refused for the same reason, whoever receives it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from temporal_runner.errors import UsageError
from temporal_runner.events.saved import read_events
from temporal_runner.plugin import Event
from temporal_runner_azure.events import Undecodable
from temporal_runner_azure.messages import decode, read_event
from temporal_runner_webhook.config import WebhookOptions
from temporal_runner_webhook.mapping import EventReader
from temporal_runner_webhook.request import Refusal, Request

LEAST: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
PROBES: list[dict[str, Any]] = [
    {},
    {"specversion": "0.3"},
    {"time": "yesterday"},
    {"time": "2026-01-31T12:00:00"},
    {"time": "2026-01-31T12:00:00.1234567Z"},
    {"data_base64": base64.b64encode(b"hello").decode()},
    {"data_base64": base64.b64encode(b"\x89PNG").decode(), "datacontenttype": "image/png"},
    {"data_base64": base64.b64encode(b"<a/>").decode(), "datacontenttype": "application/xml"},
    {"data": 1, "data_base64": "MQ=="},
    {"id": ""},
    {"subject": "", "time": "", "datacontenttype": ""},
    {"subject": None, "time": None, "tenant": None},
    {"subject": 7},
    {"Ten_ant": "x"},
    {"tenant": {"a": 1}},
    {"tenant": 2**40},
    {"tenant": 7, "urgent": True, "dataschema": "#"},
]


def from_file(body: str, folder: Path) -> Event:
    (folder / "event.json").write_text(body, encoding="utf-8")
    return read_events(folder / "event.json")[0]


def from_webhook(body: str) -> Event:
    options = WebhookOptions.model_validate({"verify": {"scheme": "none"}})
    headers = {"content-type": "application/cloudevents+json"}
    return EventReader(options).read(Request(headers, b"", body.encode()))[0]


def from_azure(body: str) -> Event:
    return read_event(decode(body, "auto")[0])


def seen(event: Event) -> dict[str, Any]:
    """What of an event is its sender's: a webhook adds its headers, Azure the implied type."""
    attributes = event.to_dict()
    attributes.pop("headers", None)
    if attributes.get("datacontenttype") == "application/json":
        del attributes["datacontenttype"]
    return attributes


@pytest.mark.parametrize("probe", PROBES, ids=str)
def test_all_read_alike(probe: dict[str, Any], tmp_path: Path) -> None:
    """A saved file, a webhook and a queue's message."""
    body = json.dumps({**LEAST, **probe})
    try:
        event = from_file(body, tmp_path)
    except UsageError as error:
        reason = str(error).partition("is no CloudEvent: ")[2]
        assert reason
        with pytest.raises(Refusal) as refusal:
            from_webhook(body)
        with pytest.raises(Undecodable) as undecodable:
            from_azure(body)
        assert refusal.value.detail == str(undecodable.value) == f"it is no CloudEvent: {reason}"
    else:
        assert seen(from_webhook(body)) == seen(from_azure(body)) == seen(event)
