"""A DNS server on a UDP port of the loopback, with the records a test gives it."""

from __future__ import annotations

import socket
import threading
from collections import Counter

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsServer:
    """Answers from `records`; what is not there does not exist.

    Attributes:
        records: (name, type) → values as in a zone file; TXT values are quoted here.
        silent: names that get no answer at all; everything below them, too.
        broken: names answered SERVFAIL.
        asked: how often each (name, type) was asked for.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.silent: set[str] = set()
        self.broken: set[str] = set()
        self.asked: Counter[tuple[str, str]] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens, as `trust.nameservers` wants it."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def txt(self, name: str, *values: str) -> None:
        """Publish TXT records, long ones in pieces of 255 bytes."""
        pieces = [[value[at : at + 250] for at in range(0, max(1, len(value)), 250)] for value in values]
        self.records[name, "TXT"] = [" ".join(f'"{piece}"' for piece in one) for one in pieces]

    def stop(self) -> None:
        """Close the port."""
        address = self._socket.getsockname()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
            bell.sendto(b"", address)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, client = self._socket.recvfrom(4096)
            if not data:
                return
            answer = self._answer(dns.message.from_wire(data))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        if any(name == one or name.endswith(f".{one}") for one in self.silent):
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        if name in self.broken:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in self.records:
            reply.answer.append(dns.rrset.from_text(question.name, 300, "IN", kind, *self.records[name, kind]))
        elif not any(known == name for known, _ in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply
