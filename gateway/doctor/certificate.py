"""When a certificate ends, and whether clients accept it at all."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime

from yarl import URL

TIMEOUT_SECS = 5.0


class Untrusted(Exception):
    """Clients refuse the certificate; the text says why."""


async def ends(url: str) -> datetime:
    """Say when the certificate that `url` (https) is served with ends.

    Raises:
        Untrusted: it has ended, is somebody else's, or is signed by nobody we know.
        OSError: nobody answers, or speaks TLS; `TimeoutError` is one.
    """
    target = URL(url)
    context = await asyncio.to_thread(ssl.create_default_context)  # it reads all authorities: tens of milliseconds
    try:
        async with asyncio.timeout(TIMEOUT_SECS):
            _, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
    except ssl.SSLCertVerificationError as exc:
        raise Untrusted(exc.verify_message) from None
    try:
        found = (writer.get_extra_info("peercert") or {}).get("notAfter")
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECS):
                await writer.wait_closed()
    if not isinstance(found, str):
        raise Untrusted("it has no end")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(found), UTC)
