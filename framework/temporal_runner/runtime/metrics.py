"""What /status tells, in Prometheus' text format: /metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MEDIA_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_PARTS = ("kind", "name")
_INBOX = {
    "events": ("inbox_events", "Events on disk that Temporal has not accepted yet."),
    "bytes": ("inbox_bytes", "The bytes of their JSON."),
    "failing": ("inbox_failing", "Events that failed and are to be tried again."),
    "oldest": ("inbox_oldest_seconds", "How long the oldest of them has waited."),
}


def exposition(status: dict[str, Any]) -> bytes:
    """The metrics of a status.

    Args:
        status: What `Supervisor.status` returned.
    """
    # 30 ms that only those pay who ask.
    from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

    registry = CollectorRegistry()
    metrics: dict[str, Counter | Gauge] = {}
    for kind, name, text, labels, value in _samples(status["components"]):
        if name not in metrics:
            make = Counter if kind == "counter" else Gauge
            metrics[name] = make(f"temporal_runner_{name}", text, tuple(labels), registry=registry)
        metrics[name].labels(**labels).inc(value)
    # When a counter was made is when it was asked for: it says nothing.
    lines = generate_latest(registry).splitlines(keepends=True)
    return b"".join(line for line in lines if b"_created" not in line)


def _samples(
    parts: list[dict[str, Any]],
) -> Iterator[tuple[str, str, str, dict[str, str], float]]:
    for part in parts:
        labels = {key: part[key] for key in _PARTS}
        text = "1 while a connection, worker or listener does its work."
        yield "gauge", "component_ready", text, labels, part["ready"]
        text = "How often one failed and was run again."
        yield "counter", "component_restarts", text, labels, part["restarts"]
        if part["kind"] != "listener":
            continue
        listener = {"listener": part["name"]}
        for outcome, count in part["counts"].items():
            text = "What became of a listener's events."
            yield "counter", "events", text, {**listener, "outcome": outcome}, count
        yield "gauge", "events_in_flight", "Events under way.", listener, part["in_flight"]
        for key, (name, text) in _INBOX.items():
            if "inbox" in part:
                yield "gauge", name, text, listener, part["inbox"][key]
