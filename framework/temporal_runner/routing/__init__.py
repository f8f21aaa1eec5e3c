"""Event to action, pure: no network, no SDK.

receive() -> Delivery -> route(event) -> Action -> dispatch() -> ack | nack | reject
"""
