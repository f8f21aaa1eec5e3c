"""The one door for plugin authors: everything that a runner plugin may use, and no more.

from temporal_runner.plugin import EventSourceKind, PullSource, hookimpl
"""

from temporal_runner.errors import NotKept, PermanentError, TransientError
from temporal_runner.events.cloudevents import (
    BATCH_MEDIA_TYPE,
    STRUCTURED_MEDIA_TYPE,
    event_from_headers,
    event_from_json,
    events_from_batch,
    events_from_message,
    is_cloudevent,
)
from temporal_runner.events.event import Accepted, Delivery, Event, Written
from temporal_runner.events.strict_json import parse_json
from temporal_runner.http import HttpAnswer, HttpRequest, HttpServer
from temporal_runner.plugin.hookspecs import hookimpl
from temporal_runner.plugin.listing import ListingSource
from temporal_runner.plugin.listing_options import ListedObject, ListingOptions
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
from temporal_runner.values.texts import Text, Url
from temporal_runner.values.tls import TlsOptions
from temporal_runner.values.wording import suggest

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
    "HttpRequest",
    "HttpAnswer",
    # what comes from outside
    "parse_json",
    "is_cloudevent",
    "events_from_message",
    "event_from_headers",
    "event_from_json",
    "events_from_batch",
    "STRUCTURED_MEDIA_TYPE",
    "BATCH_MEDIA_TYPE",
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
    "Text",
    "Url",
    "Secret",
    "suggest",
    "TlsOptions",
    # errors
    "TransientError",
    "PermanentError",
    "NotKept",
]
