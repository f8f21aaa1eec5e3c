"""The options of a port that serves HTTPS."""

from __future__ import annotations

from temporal_runner.values.options import Options
from temporal_runner.values.texts import Text


class TlsOptions(Options):
    """Serve HTTPS."""

    cert_path: Text
    """The certificate, with its chain (PEM)."""
    key_path: str = ""
    """Its private key (PEM), where it is not in the same file."""
    client_ca_path: str = ""
    """Let in only clients with a certificate of this authority (PEM)."""
