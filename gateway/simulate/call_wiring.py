"""How a simulated telephone is connected."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal

_RTP = (10_000, 19_000)
_RTP_EACH = 400


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """How a telephone is connected.

    Attributes:
        user: user part of its address.
        host: address it uses.
        port: it listens on; 0 is any.
        transport: that it calls by.
        listens: all transports it has, if it has more.
        tls: certificate, key and authorities (`cert`, `key`, `ca`: PEM files, or empty).
        srtp: ``off``, ``optional`` or ``mandatory``.
        codecs: by preference.
        registrar: SIP URI to register at.
        password: for the registrar and for whoever asks.
        refer: let others transfer it.
        calls: at once.
        session_expires: seconds (RFC 4028).
        expires: of a registration, in seconds.
        rtp_timeout: seconds without sound after which it hangs up; 0 is never.
    """

    user: str = "caller"
    host: str = "127.0.0.1"
    port: int = 0
    transport: Literal["udp", "tcp", "tls"] = "udp"
    listens: tuple[str, ...] = ()
    tls: dict[str, str] = field(default_factory=dict)
    srtp: Literal["off", "optional", "mandatory"] = "off"
    codecs: tuple[str, ...] = ("PCMU", "PCMA", "G722", "opus")
    registrar: str | None = None
    password: str | None = None
    refer: bool = False
    calls: int = 4
    session_expires: int = 1800
    expires: int = 300
    rtp_timeout: int = 0

    def config(self) -> dict[str, Any]:
        """Write what the child wants to know."""
        first = random.randrange(*_RTP, 2)
        transports = list(self.listens or (self.transport,))
        registrar = self.registrar or (f"sip:{self.host}" if self.password else None)  # credentials belong to one
        domain = (registrar or f"sip:{self.host}").partition(":")[2].partition(";")[0]
        line = {
            "name": "",
            "id": f"sip:{self.user}@{domain}",
            "registrar": registrar,
            "register": self.registrar is not None,
            "expires": self.expires,
            "retry": 5,
            "realm": "*",
            "auth_user": self.user,
            "password": self.password,
        }
        return {
            "index": 0,
            "host": self.host,
            "port": self.port,
            "rtp": (first, first + _RTP_EACH),
            "transports": transports,
            "tls": {"port": 0, "cert": "", "key": "", "ca": "", **self.tls},
            "calls": self.calls,
            "codecs": list(self.codecs),
            "srtp": self.srtp,
            "session_expires": self.session_expires,
            "lines": [line],
            "refer": self.refer,
            "redirect": True,
            "admit": {"allow": [], "per_minute": 0, "retry_after": 1},
            "rtp_timeout": self.rtp_timeout,
            "user_agent": "Omnigate simulator",
            "log": 1,
        }
