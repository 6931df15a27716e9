"""Certificates of the listeners, read from their files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cryptography import x509
from msgspec import Struct

from connectors.email.config import SmtpConfig
from connectors.email.ports import server_context
from connectors.errors import Misconfigured


class Certificate(Struct, frozen=True):
    """What clients get to see.

    Attributes:
        names: hosts it is for, with ``*.`` for any of a domain (RFC 9525 §6.3).
        ends: when it ends.
    """

    names: tuple[str, ...]
    ends: datetime

    def covers(self, host: str) -> bool:
        """Tell whether it is for a host."""
        parent = host.lower().partition(".")[2]
        return any(name.lower() in {host.lower(), f"*.{parent}"} for name in self.names)


def read_certificate(smtp: SmtpConfig) -> Certificate | None:
    """Read the certificate, if there is one, as the listener would.

    Raises:
        Misconfigured: it cannot be read, is no certificate, or does not belong to its key.
    """
    if smtp.tls_cert is None:
        return None
    server_context(smtp)  # says what is wrong with the pair
    try:
        found = x509.load_pem_x509_certificates(Path(smtp.tls_cert).read_bytes())[0]
    except (OSError, ValueError, IndexError) as exc:
        raise Misconfigured(f"cannot read the certificate in {smtp.tls_cert}: {type(exc).__name__}") from None
    return Certificate(_names(found), found.not_valid_after_utc)


def _names(found: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(extension.get_values_for_type(x509.DNSName))
