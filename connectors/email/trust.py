"""How far the origin of a mail is proved: DKIM, SPF, DMARC and ARC, checked here or told by the server in front.

Nothing here refuses a mail: the results are in `security` of its message, and what they are worth is for the reader to
say. Forged results in a mail change nothing, because a header is only read where the operator has named its author.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal

import dns.resolver
import msgspec
import structlog
from msgspec import Struct

from connectors.email import trust_spf, trust_upstream
from connectors.email.config import TrustConfig
from connectors.email.trust_dkim import Signature, Signed
from connectors.email.trust_dmarc import Dmarc, Finding
from connectors.email.trust_dns import Dns, NotNow
from connectors.email.trust_spf import Origin
from connectors.errors import Misconfigured
from normalizer.mail.address import addresses
from normalizer.mail.mime import Entity
from normalizer.model import Security

__all__ = ["Origin", "Trust"]

THREADS = 16
"""Checks at the same time, of all channels together; what waits longer than its `timeout_secs` is ``temperror``."""
COMPUTE_SECS = 1.0
"""What a check may take besides waiting for the DNS."""
BEST_FIRST = ("pass", "policy", "temperror", "fail", "softfail", "neutral", "permerror", "none")


class Results(Struct, frozen=True, kw_only=True):
    """The fields of `Security` that are about mail."""

    dkim: str | None = None
    dkim_domain: str | None = None
    spf: str | None = None
    spf_domain: str | None = None
    dmarc: str | None = None
    dmarc_policy: str | None = None
    arc: str | None = None
    authserv_id: str | None = None


class Proved(Struct, frozen=True):
    """What DMARC is made of; `spf` is None where it could not be asked."""

    signatures: list[Signature]
    spf: str | None
    spf_domain: str | None


class Trust:
    """Judges the mails of one channel; used by every way in."""

    def __init__(self, config: TrustConfig) -> None:
        """Follow `config`; raises `Misconfigured` where it wants checks and there is no DNS server to ask."""
        self._config = config
        try:
            self._dns = Dns(config.nameservers) if config.mode == "check" else None
        except dns.resolver.NoResolverConfiguration as exc:
            raise Misconfigured("`trust` needs the DNS, and this system names no server: give `nameservers`") from exc

    async def judge(
        self,
        mail: bytes,
        origin: Origin | None = None,
        *,
        verified: Literal["basic", "none"] = "none",
        whole: bool = True,
    ) -> Security:
        """Say what is proved about a mail, at the latest a second after `timeout_secs`; raises nothing.

        Args:
            mail: as received.
            origin: where it came from, for SPF; None where that is unknown (a mailbox) or the client has
                authenticated itself. DMARC is then only told where a signature proves it.
            verified: how the client proved itself.
            whole: false where `mail` was cut: no signature of it can be checked any more.
        """
        found = Results()
        if self._config.mode == "upstream":
            found = _told(mail, self._config.authserv_id or "")
        elif self._dns is not None and whole:
            found = await self._checked(mail, origin, self._dns)
        return Security(verified=verified, **msgspec.structs.asdict(found))

    async def _checked(self, mail: bytes, origin: Origin | None, dns: Dns) -> Results:
        limit = self._config.timeout_secs
        job = _pool().submit(_check, mail, origin, dns, time.monotonic() + limit)
        try:
            async with asyncio.timeout(limit + COMPUTE_SECS):
                return await asyncio.wrap_future(job)
        except TimeoutError:
            spf = "temperror" if origin is not None and origin.stranger else None
            return Results(dkim="temperror", spf=spf, dmarc="temperror", arc="temperror")
        except Exception as exc:  # noqa: BLE001 -- a bug in a check must not cost the mail
            structlog.get_logger().error("mail_check_failed", error=type(exc).__name__)
            return Results(dkim="permerror", dmarc="permerror", arc="permerror")


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads of their own: those of the loop store mails, and must not wait for the DNS."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="mail-trust")


def _told(mail: bytes, authserv_id: str) -> Results:
    """Take the topmost Authentication-Results, if it is by the named server (RFC 8601 §5)."""
    value = Entity(mail, 0, len(mail), "", "text/plain").fields.raw("authentication-results")
    lines = sorted(trust_upstream.read(value, authserv_id), key=lambda line: BEST_FIRST.index(line.result))
    best = {line.method: line for line in reversed(lines)}
    if not best:
        return Results()
    words = {method: line.result for method, line in best.items()}
    domains = {f"{method}_domain": best[method].domain for method in ("dkim", "spf") if method in best}
    return Results(**words, **domains, authserv_id=authserv_id.lower())


def _check(mail: bytes, origin: Origin | None, dns: Dns, deadline: float) -> Results:
    """Check everything that can be; runs in a thread."""
    entity = Entity(mail, 0, len(mail), "", "text/plain")
    signed = Signed(mail[: entity.start], mail[entity.start :], dns, deadline)
    signatures = signed.dkim() or [Signature("none")]
    asked = origin if origin is not None and origin.stranger else None
    spf = trust_spf.check(asked, dns, deadline) if asked else None
    author, problem = _author(entity.fields.every("from"))
    proved = Proved(signatures, spf, asked.domain if asked else None)
    finding = _dmarc(author, proved, Dmarc(dns, deadline)) if author else Finding(problem)
    best = min(signatures, key=lambda one: (BEST_FIRST.index(one.result), one.domain != author))
    return Results(
        dkim=best.result,
        dkim_domain=best.domain,
        spf=spf,
        spf_domain=proved.spf_domain,
        dmarc=finding.result,
        dmarc_policy=finding.policy,
        arc=signed.arc(),
    )


def _dmarc(author: str, proved: Proved, dmarc: Dmarc) -> Finding:
    """Evaluate DMARC; a failure is only one where nothing is left that might have proved the author."""
    domains = [one.domain for one in proved.signatures if one.result == "pass" and one.domain]
    unsure = "temperror" in {proved.spf, *(one.result for one in proved.signatures)}
    if not domains and proved.spf is None:
        return Finding("temperror" if unsure else None)
    try:
        found = dmarc.check(author, dkim=domains, spf=proved.spf_domain if proved.spf == "pass" else None)
    except NotNow:
        return Finding("temperror")
    if found.result == "fail" and (unsure or proved.spf is None):
        return Finding("temperror" if unsure else None, found.policy)
    return found


def _author(fields: list[str]) -> tuple[str | None, str | None]:
    """Return the domain of From, or why there is none to evaluate (RFC 7489 §6.6.1)."""
    domains = {box.address.rpartition("@")[2].lower().rstrip(".") for value in fields for box in addresses(value)}
    if len(fields) > 1 or len(domains) > 1:
        return None, "permerror"
    domain = next(iter(domains), "")
    try:
        name = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        return None, "permerror"
    return (name, None) if name else (None, "none")
