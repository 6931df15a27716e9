"""Ports to listen on, and the server's side of TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

from connectors.email.config import SmtpConfig
from connectors.errors import Misconfigured

BACKLOG = 1024
HANDSHAKE_SECS = 10.0
"""How long a TLS handshake may take. A client that begins with it is counted when it is done."""


async def open_port(
    listen: str, build: Callable[[], asyncio.BaseProtocol], *, tls: ssl.SSLContext | None = None, mode: str = ""
) -> asyncio.Server:
    """Listen on host:port or ``unix:/path``; raises `Misconfigured`.

    Args:
        listen: the address.
        build: makes the protocol of a connection.
        tls: where every connection begins with a handshake.
        mode: permissions of the socket file, octal.
    """
    loop = asyncio.get_running_loop()
    try:
        if listen.startswith("unix:"):
            path = listen.removeprefix("unix:")
            server = await loop.create_unix_server(build, path, backlog=BACKLOG)
            await asyncio.to_thread(Path(path).chmod, int(mode, 8))
            return server
        host, _, port = listen.rpartition(":")
        return await loop.create_server(
            build,
            host.strip("[]") or None,
            int(port),
            reuse_port=True,
            backlog=BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE_SECS if tls else None,
        )
    except OSError as exc:
        raise Misconfigured(f"cannot listen on {listen}: {exc.strerror or exc}") from exc


def server_context(config: SmtpConfig) -> ssl.SSLContext | None:
    """Load the certificate, TLS 1.2 or newer; None without one. Raises `Misconfigured` that names the files."""
    if config.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as exc:
        files = " and ".join(filter(None, (config.tls_cert, config.tls_key)))
        raise Misconfigured(f"cannot use the certificate in {files}: {exc.strerror or exc}") from exc
    return context
