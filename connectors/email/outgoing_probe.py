"""Whether mails would go out, and answers would come in (`channel.verify`): nothing is sent."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

from aiosmtplib import SMTP, SMTPException
from dns.resolver import NoResolverConfiguration

from connectors.email.outgoing_config import OutgoingConfig
from connectors.email.outgoing_errors import of_connection
from connectors.email.outgoing_pool import Pool
from connectors.email.trust_dns import Dns, NotNow

DAY = 86_400.0
MX_SECS = 3.0
DOMAINS_MAX = 10


async def probe_outgoing(
    pool: Pool,
    config: OutgoingConfig,
    *,
    clock: Callable[[], float] = time.time,  # noqa: TID251 -- certificates end at a time of day
) -> dict[str, Any]:
    """Log in to the mail server, and say what it can; raises `SendError`."""
    async with pool.connection() as smtp:
        try:
            await smtp.noop()
        except (SMTPException, OSError) as exc:
            raise of_connection(exc, config.host) from None
        size = smtp.esmtp_extensions.get("size", "").strip()
        return {
            "host": config.host,
            "port": config.port,
            "tls": _tls(smtp, clock),
            "login": config.user is not None,
            "max_bytes": int(size) if size.isdecimal() and int(size) else None,
            "extensions": sorted(name.upper() for name in smtp.esmtp_extensions),
        }


def _tls(smtp: SMTP, clock: Callable[[], float]) -> dict[str, Any] | None:
    found = smtp.get_transport_info("ssl_object")
    if not isinstance(found, ssl.SSLObject | ssl.SSLSocket):
        return None
    told: dict[str, Any] = {"version": found.version()}
    certificate = found.getpeercert() or {}
    ends = certificate.get("notAfter")
    if isinstance(ends, str):
        told["certificate_days_left"] = int((ssl.cert_time_to_seconds(ends) - clock()) // DAY)
    return told


async def probe_mx(addresses: Iterable[str], servers: tuple[str, ...] = ()) -> dict[str, list[str] | None]:
    """Look up which servers take mail for the domains of these addresses, the preferred first.

    None is for what cannot be told now. A domain without MX gets its mail at its own address, if any (RFC 5321 §5.1).
    """
    domains = list(dict.fromkeys(one.rpartition("@")[2].lower() for one in addresses))[:DOMAINS_MAX]
    try:
        return await asyncio.to_thread(_exchanges, domains, servers)
    except NoResolverConfiguration:
        return dict.fromkeys(domains)


def _exchanges(domains: list[str], servers: tuple[str, ...]) -> dict[str, list[str] | None]:
    resolver, deadline = Dns(servers), time.monotonic() + MX_SECS
    found: dict[str, list[str] | None] = {}
    for domain in domains:
        try:
            records = resolver.ask(domain, "MX", deadline)
        except NotNow:
            found[domain] = None
            continue
        ranked = sorted((one.preference, str(one.exchange).rstrip(".") or ".") for one in records)  # type: ignore[attr-defined]
        found[domain] = [name for _, name in ranked]
    return found
