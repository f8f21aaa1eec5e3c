"""The quickstart's activities."""

from __future__ import annotations

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError


@activity.defn
def check_order(order: dict[str, Any]) -> None:
    """An order needs a number."""
    if not order.get("order"):
        raise ApplicationError("the order has no number", non_retryable=True)


@activity.defn
def ship_order(order: dict[str, Any]) -> str:
    """Ship it, and return the tracking number."""
    return f"TRACK-{order['order']}"
