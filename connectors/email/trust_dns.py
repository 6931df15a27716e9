"""DNS for checks that run in a thread: cached, and with one deadline for all questions about a mail."""

from __future__ import annotations

import time

import dns.exception
import dns.name
import dns.resolver
from dns.nameserver import Do53Nameserver, Nameserver
from dns.rdata import Rdata

from connectors.email.config import nameserver

CACHED = 4096
"""Answers that are remembered, each for as long as it says itself."""
TEXT_MAX = 4096
"""Bytes of a TXT record that are believed to mean anything; RFC 7208 §3.4 advises to stay below 450."""


class NotNow(Exception):
    """The DNS gives no answer now; it may later."""


class Dns:
    """A resolver that several threads may use."""

    def __init__(self, servers: tuple[str, ...] = ()) -> None:
        """Ask `servers`, or those of the system; raises `dns.resolver.NoResolverConfiguration` where it names none."""
        self._resolver = dns.resolver.Resolver(configure=not servers)
        if servers:
            named: list[str | Nameserver] = [Do53Nameserver(*nameserver(one)) for one in servers]
            self._resolver.nameservers = named
        self._resolver.cache = dns.resolver.LRUCache(CACHED)

    def ask(self, name: str, kind: str, deadline: float) -> list[Rdata]:
        """Return the records of that type, none where there are none.

        Args:
            name: absolute, with or without the final dot.
            kind: ``TXT``, ``A``, ``AAAA``, ``MX`` or ``PTR``.
            deadline: on the clock of `time.monotonic`.

        Raises:
            NotNow: no answer by then, or no server would give one.
        """
        left = deadline - time.monotonic()
        if left <= 0:
            raise NotNow
        try:
            question = dns.name.from_text(name)
        except (dns.exception.DNSException, ValueError):
            return []  # it could never exist
        try:
            answer = self._resolver.resolve(question, kind, lifetime=left, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            return []
        except (dns.exception.DNSException, OSError) as exc:
            raise NotNow from exc
        return list(answer.rrset) if answer.rrset is not None else []

    def texts(self, name: str, deadline: float) -> list[bytes]:
        """Return the TXT records, each joined from its strings; raises `NotNow`."""
        joined = [b"".join(record.strings) for record in self.ask(name, "TXT", deadline)]  # type: ignore[attr-defined]
        return [text for text in joined if len(text) <= TEXT_MAX]
