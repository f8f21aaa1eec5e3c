"""Says that a proxy of the environment is not used: the SDK goes to Temporal directly."""

from __future__ import annotations

import logging
import urllib.request

log = logging.getLogger("temporal_runner.temporal")

_OF_TLS = ("https", "all")
_OF_PLAINTEXT = ("http", "all")


def warn_of_proxy(address: str, *, tls: bool) -> None:
    """Warn of HTTPS_PROXY and its like, where NO_PROXY does not make an exception of the address.

    Temporal's other SDKs go through it, so who sets it may count on that.
    """
    host = address.rpartition(":")[0].strip("[]")
    if host in {"localhost", "127.0.0.1", "::1"} or urllib.request.proxy_bypass(address):
        return
    found = urllib.request.getproxies_environment()
    name = next((name for name in (_OF_TLS if tls else _OF_PLAINTEXT) if found.get(name)), None)
    if name is not None:
        log.warning(
            "%s_PROXY is set, which Temporal's Python SDK does not use: the connection goes to %s"
            " directly. Name the host in NO_PROXY, or set http_connect_proxy_config in a client"
            " plugin (temporal.plugins)",
            name.upper(),
            address,
        )
