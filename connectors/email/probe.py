"""Whether mail comes in and goes out (`channel.verify`, `omnigate check --online`): nothing is sent or changed.

What does not work is a `Check`, not an exception: a mailbox that refuses us must not hide a certificate that ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from connectors.email import probe_dkim, probe_mx
from connectors.email.config import EmailConfig, SmtpConfig
from connectors.email.imap import Mailbox
from connectors.email.outgoing import Outgoing
from connectors.email.outgoing_probe import probe_mx as exchanges
from connectors.email.outgoing_probe import probe_outgoing
from connectors.email.tls_files import Certificate, read_certificate
from connectors.errors import ConnectorError, Misconfigured, Unreachable
from normalizer.checks import Check

SECS = 15.0
"""For one server; the doctor gives 20 s for all of it."""
LOGIN = "check host, port, user and password (or `oauth`) of this table"


async def probe(config: EmailConfig, mailbox: Mailbox | None, outgoing: Outgoing | None) -> dict[str, Any]:
    """Look at every way in and out; see `connectors.api.Prober`."""
    checks: list[Check] = []
    told: dict[str, Any] = {"addresses": list(config.addresses)} if config.addresses else {}
    if config.lmtp is not None:
        told["lmtp"] = config.lmtp.listen
    async with asyncio.TaskGroup() as group:
        if mailbox is not None:
            group.create_task(_asked(told, checks, "imap", "the mailbox can be read", mailbox.probe()))
        if outgoing is not None:
            group.create_task(_asked(told, checks, "outgoing", "the mail server lets us in", _out(outgoing)))
    if outgoing is not None and outgoing.config.dkim is not None:
        checks.append(await probe_dkim.published(outgoing.config.dkim, config.trust.nameservers))
    certificate = None
    if config.smtp is not None:
        told |= {"listen": config.smtp.listen, "starttls": config.smtp.tls_cert is not None}
        certificate, check = _certificate(config.smtp)
        checks += [check] if check is not None else []
        if certificate is not None:
            told["certificate_expires_at"] = certificate.ends.isoformat()
    if config.addresses:
        told["mx"] = await exchanges(config.addresses, config.trust.nameservers)
        looked = await probe_mx.look(config, told["mx"])
        checks += looked.checks
        if config.smtp is not None and certificate is not None:
            checks += _names(certificate, looked.names or _hostname(config.smtp))
    return told | {"checks": tuple(checks)}


async def _out(outgoing: Outgoing) -> dict[str, Any]:
    told = await probe_outgoing(outgoing.pool, outgoing.config)
    ends = await outgoing.access_ends()
    return told if ends is None else told | {"access_expires_at": ends.isoformat()}


async def _asked(
    told: dict[str, Any], checks: list[Check], name: str, fine: str, asked: Awaitable[dict[str, Any]]
) -> None:
    """Await a probe of one server, and note what came of it."""
    try:
        async with asyncio.timeout(SECS):
            told[name] = await asked
    except ConnectorError as exc:
        checks.append(Check(name=name, ok=False, detail=str(exc), hint=None if exc.retryable else LOGIN))
        told[name] = {"error": exc.code, "message": str(exc)}
        told["sure"] = told.get("sure", True) and not exc.retryable
    except TimeoutError:
        checks.append(Check(name=name, ok=False, detail=f"no answer within {SECS:g} s"))
        told[name], told["sure"] = {"error": Unreachable.code}, False
    else:
        checks.append(Check(name=name, ok=True, detail=f"{fine} ({told[name]['host']})"))


def _certificate(smtp: SmtpConfig) -> tuple[Certificate | None, Check | None]:
    if smtp.tls_cert is None:
        hint = "set `smtp.tls_cert` and `smtp.tls_key`; most mail servers use TLS where it is offered"
        return None, Check(name="tls", ok=None, detail="STARTTLS is not offered: mails come in clear", hint=hint)
    try:
        return read_certificate(smtp), None
    except Misconfigured as exc:
        return None, Check(name="tls", ok=False, detail=str(exc), hint="both files must be readable, PEM, and a pair")


def _names(certificate: Certificate, wanted: tuple[str, ...]) -> tuple[Check, ...]:
    missing = [name for name in wanted if not certificate.covers(name)]
    if not missing:
        return (
            Check(name="tls", ok=True, detail=f"the certificate is for {', '.join(certificate.names) or 'nobody'}"),
        )
    detail = f"the certificate is for {', '.join(certificate.names) or 'no host'}, and not for {', '.join(missing)}"
    return (Check(name="tls", ok=False, detail=detail, hint="senders that check it (MTA-STS, DANE) deliver nothing"),)


def _hostname(smtp: SmtpConfig) -> tuple[str, ...]:
    return (smtp.hostname,) if smtp.hostname is not None else ()
