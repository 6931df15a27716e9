"""SPF (RFC 7208) by pyspf."""

from __future__ import annotations

import ipaddress
import time
import warnings
from typing import Any

from msgspec import Struct
from typing_extensions import override

from connectors.email.trust_dns import Dns, NotNow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about backslashes in its docstrings, whenever Python compiles it
    import spf

OURS = tuple(
    ipaddress.ip_network(one)
    for one in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)
"""Networks no stranger can connect from: mail from there came through a relay, about which SPF says nothing."""


class Origin(Struct, frozen=True, kw_only=True):
    """Where a mail came from.

    Attributes:
        peer: IP address of the client.
        helo: how it introduced itself.
        mail_from: the envelope's sender, empty for the null return path.
    """

    peer: str
    helo: str
    mail_from: str

    @property
    def domain(self) -> str:
        """Whom SPF is about: the domain of the sender, or of HELO where there is no sender (§2.4)."""
        _, at, domain = self.mail_from.rpartition("@")
        name = (domain if at else self.helo).strip().lower().rstrip(".")
        try:
            return name if name.isascii() else name.encode("idna").decode("ascii")
        except UnicodeError:
            return ""

    @property
    def stranger(self) -> bool:
        """Tell whether the client is one that SPF can be asked about."""
        try:
            address = ipaddress.ip_address(self.peer.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return not any(mapped in network for network in OURS if network.version == mapped.version)


class _Query(spf.query):  # type: ignore[misc]
    """Asks the DNS through `Dns`; aliases are followed there."""

    def __init__(self, origin: Origin, ask: Dns, deadline: float) -> None:
        local = origin.mail_from.rpartition("@")[0].replace("@", ".") or "postmaster"  # pyspf splits at the first
        super().__init__(i=origin.peer.partition("%")[0], s=f"{local}@{origin.domain}", h=origin.helo)
        self._ask, self._deadline = ask, deadline

    @override
    def dns(self, name: Any, qtype: str, *, ignore_void: bool = False) -> list[Any]:
        if time.monotonic() > self._deadline:
            raise spf.TempError("too slow")
        try:
            found = self._answers(str(name), qtype)
        except NotNow as exc:
            raise spf.TempError("the DNS gives no answer") from exc
        if not found and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError("too many lookups without an answer")
        return found

    def _answers(self, name: str, qtype: str) -> list[Any]:
        if qtype == "TXT":
            return [(text,) for text in self._ask.texts(name, self._deadline)]
        records: list[Any] = list(self._ask.ask(name, qtype, self._deadline))
        if qtype == "MX":
            return [(record.preference, record.exchange.to_text(omit_final_dot=True)) for record in records]
        if qtype == "PTR":
            return [record.target.to_text(omit_final_dot=True) for record in records]
        return [record.address for record in records]


def check(origin: Origin, dns: Dns, deadline: float) -> str:
    """Say whether the client may send for the domain, in the words of §2.6."""
    if "." not in origin.domain:
        return "none"  # no domain to ask (§4.3)
    try:
        return str(_Query(origin, dns, deadline).check()[0])
    except Exception:  # noqa: BLE001 -- pyspf raises ValueError, AssertionError and others on hostile records
        return "permerror"
