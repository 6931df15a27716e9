"""Who may use the admin port: the token, the Host header, the headers of every answer."""

from __future__ import annotations

import hmac
import os
import secrets
from ipaddress import ip_address
from pathlib import Path

from gateway.settings.model import AdminSection
from gateway.web.address import split

TOKEN_FILE = "admin-token"  # noqa: S105 -- a file name
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def admin_token(section: AdminSection, data_dir: Path) -> str:
    """Return the bearer token of ``/api``: the configured one, or a random one kept in `data_dir`.

    Raises:
        OSError: the file cannot be read or written.
    """
    if section.token is not None:
        return section.token.reveal()
    path = data_dir / TOKEN_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    token = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token


def authorized(header: str | None, token: str) -> bool:
    """Compare an `Authorization` header with the token, in constant time. An empty token lets nobody in."""
    scheme, _, given = (header or "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    return same and bool(token) and scheme.lower() == "bearer"


def known_host(header: str | None, listen: str) -> bool:
    """Tell whether a Host header can be meant for us.

    Against DNS rebinding: a page on ``evil.example`` whose name is made to resolve to 127.0.0.1 still sends its own
    name. Addresses cannot be rebound; of names, ``localhost`` and the one we listen on are ours.
    """
    if not header:
        return False
    name = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() else header
    name = name.strip("[]").lower()
    if name in {"localhost", split(listen)[0].lower()}:
        return bool(name)
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def on_loopback(listen: str) -> bool:
    """Tell whether an address to listen on can be reached from this machine only."""
    host = split(listen)[0].lower()
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
