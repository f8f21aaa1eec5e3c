"""How a port is to be served, and what that takes: its socket and its certificates."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass

from temporal_runner.errors import PermanentError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MAX_CONNECTIONS = 1000
"""Connections to one port at a time."""


def most_connections(ports: int) -> int:
    """Connections that a port may have: fewer where the process may open few files.

    Half of those are for the ports, in equal parts, so that clients of one of them leave the others
    (the admin endpoint) and Temporal's connection theirs.

    Args:
        ports: How many are open.
    """
    if resource is None:
        return MAX_CONNECTIONS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, files // 2 // max(1, ports)))


@dataclass(frozen=True, slots=True)
class Settings:
    """How a port is served; those who share one have the same.

    Attributes:
        keep_alive: Seconds after which an idle connection is closed.
        header_timeout: Seconds that a request's head may take.
        drain: Seconds that requests in flight get when the port closes.
        cert_path: The server's certificate chain (PEM); empty for plain HTTP.
        key_path: Its private key (PEM).
        client_ca_path: Only clients with a certificate of this authority (PEM) are let in.
    """

    keep_alive: float
    header_timeout: float
    drain: float
    cert_path: str
    key_path: str
    client_ca_path: str


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What HTTPS is served with; None for plain HTTP.

    Raises:
        PermanentError: A file cannot be read, or is not what it should be.
    """
    if not settings.cert_path:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    file = settings.cert_path
    try:
        context.load_cert_chain(settings.cert_path, settings.key_path or None)
        if settings.client_ca_path:
            file = settings.client_ca_path
            context.load_verify_locations(settings.client_ca_path)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or str(error)
        raise PermanentError(
            f"cannot serve TLS with {file}: {reason}",
            next_step="give the paths of a certificate and its key as PEM files",
        ) from error
    return context


def listen_at(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        PermanentError: The port is in use, or may not be opened.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(2048)
            listening.setblocking(False)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        next_step = {
            errno.EADDRINUSE: "stop the other process, or set another port",
            errno.EACCES: "set a port above 1023, or allow this process to open it",
        }.get(error.errno or 0, "set a host that is an address of this machine")
        reason = error.strerror or str(error)
        raise PermanentError(
            f"cannot listen at {host}:{port}: {reason}", next_step=next_step
        ) from error
    return listening
