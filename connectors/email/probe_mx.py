"""Where the mail of our addresses goes: do the MX records point here?"""

from __future__ import annotations

import asyncio
import platform
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from dns.resolver import NoResolverConfiguration
from msgspec import Struct

from connectors.email.config import EmailConfig
from connectors.email.trust_dns import Dns, NotNow
from normalizer.checks import Check

SECS = 3.0
HOSTS_MAX = 10
RESERVED = ("test", "example", "invalid", "localhost")
"""Nobody's (RFC 6761): used in demonstrations."""
NULL = ["."]


class Looked(Struct, frozen=True):
    """What was found.

    Attributes:
        checks: one for each domain.
        names: of this machine, as senders look for it.
    """

    checks: tuple[Check, ...]
    names: tuple[str, ...]


async def look(config: EmailConfig, mx: Mapping[str, list[str] | None]) -> Looked:
    """Judge the records that `connectors.email.outgoing_probe.probe_mx` has found, domain → hosts."""
    hosts = list(dict.fromkeys(host for found in mx.values() for host in found or [] if host != "."))
    bare = [domain for domain, found in mx.items() if found == []]
    try:
        addresses = await asyncio.to_thread(_addresses, [*hosts[:HOSTS_MAX], *bare], config.trust.nameservers)
    except NoResolverConfiguration:
        addresses = {}
    ours = {(config.smtp.hostname if config.smtp else None) or platform.node()}
    here = {host for host in addresses if host in ours or any(map(is_here, addresses[host]))}
    checks = tuple(_judge(config, domain, found, addresses, here) for domain, found in mx.items())
    return Looked(checks, tuple(host for host in hosts if host in here))


def is_here(address: str) -> bool:
    """Tell whether an IP address is one of this machine's: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as found:
            found.bind((address, 0))
    except OSError:
        return False
    return True


def _judge(
    config: EmailConfig, domain: str, found: list[str] | None, addresses: Mapping[str, list[str]], here: set[str]
) -> Check:
    name = f"mx.{domain}"
    if domain.rpartition(".")[2] in RESERVED:
        return Check(name=name, ok=None, detail=f"{domain} is a name for tests; no mail is sent to it from outside")
    if found is None:
        return Check(name=name, ok=None, detail=f"the DNS does not say now where mail for {domain} goes")
    if found == NULL:
        detail = f"{domain} says that it takes no mail (RFC 7505)"
        return Check(name=name, ok=False, detail=detail, hint="replace its MX record, or the address")
    targets = found or ([domain] if addresses.get(domain) else [])
    if not targets:
        detail = f"{domain} has no MX record and no address: nobody can send mail to it"
        return Check(name=name, ok=False, detail=detail, hint="add an MX record, or mend the domain's name")
    where = f"mail for {domain} goes to {', '.join(targets)}"
    if here.intersection(targets):
        return Check(name=name, ok=True, detail=f"{where}: here")
    if config.smtp is None and config.lmtp is None:
        return Check(name=name, ok=True, detail=f"{where}, and into the mailbox from there")
    hint = "right where that server passes it on, or where this machine's public address is another's (NAT)"
    return Check(name=name, ok=None, detail=f"{where}, which is not this machine", hint=hint)


def _addresses(hosts: Iterable[str], servers: tuple[str, ...]) -> dict[str, list[str]]:
    resolver, deadline = Dns(servers), time.monotonic() + SECS
    return {host: list(_of(resolver, host, deadline)) for host in hosts}


def _of(resolver: Dns, host: str, deadline: float) -> Iterator[str]:
    for kind in ("A", "AAAA"):
        with suppress(NotNow):
            yield from (str(record) for record in resolver.ask(host, kind, deadline))
