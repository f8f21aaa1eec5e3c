"""The one module that a plugin author imports: everything a runner plugin may use, and no more.

from temporal_runner.plugin import EventSourceKind, PullSource, hookimpl
"""

from temporal_runner.backoff import BackoffKind, NoOptions, Timing, WaitGenerator
from temporal_runner.errors import PermanentError, TransientError
from temporal_runner.events import Accepted, Delivery, Event, Written
from temporal_runner.hooks import hookimpl
from temporal_runner.parsing import parse_json
from temporal_runner.serving import HttpAnswer, HttpRequest, HttpServer
from temporal_runner.sources import (
    Deliver,
    EventSource,
    EventSourceKind,
    PullSource,
    PushSource,
    SourceContext,
)
from temporal_runner.values import Duration, Options, PositiveDuration, Secret, Size

__all__ = [
    "hookimpl",
    # event sources
    "EventSourceKind",
    "EventSource",
    "PullSource",
    "PushSource",
    "SourceContext",
    "Deliver",
    "Delivery",
    "Event",
    "Written",
    "Accepted",
    "HttpServer",
    "parse_json",
    "HttpRequest",
    "HttpAnswer",
    # backoff strategies
    "BackoffKind",
    "Timing",
    "WaitGenerator",
    "NoOptions",
    # options
    "Options",
    "Duration",
    "PositiveDuration",
    "Size",
    "Secret",
    # errors
    "TransientError",
    "PermanentError",
]
