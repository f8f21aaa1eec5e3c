"""The one module that a plugin author imports: everything a runner plugin may use, and no more.

from temporal_runner.plugin import EventSourceKind, PullSource, hookimpl
"""

from temporal_runner.errors import PermanentError, TransientError
from temporal_runner.events.event import Accepted, Delivery, Event, Written
from temporal_runner.events.strict_json import parse_json
from temporal_runner.http import HttpAnswer, HttpRequest, HttpServer
from temporal_runner.plugin.hookspecs import hookimpl
from temporal_runner.plugin.listing import ListedObject, ListingOptions, ListingSource
from temporal_runner.plugin.sources import (
    Deliver,
    EventSource,
    EventSourceKind,
    PullSource,
    PushSource,
    SourceContext,
)
from temporal_runner.retry.backoff import BackoffKind, NoOptions, Timing, WaitGenerator
from temporal_runner.values.durations import Duration, PositiveDuration
from temporal_runner.values.options import Options
from temporal_runner.values.secrets import Secret
from temporal_runner.values.sizes import Size

__all__ = [
    "hookimpl",
    # event sources
    "EventSourceKind",
    "EventSource",
    "PullSource",
    "PushSource",
    "ListingSource",
    "ListedObject",
    "ListingOptions",
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
