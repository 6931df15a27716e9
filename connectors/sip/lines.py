"""From the options of a channel to what a child process is told, and to the URIs its calls have."""

from __future__ import annotations

from typing import Any

from connectors.sip.config import CALLS_PER_CHILD, SipConfig
from connectors.sip.config_parts import Registrar, split_listen
from normalizer import sip_uri

STEP = 2
"""Ports between two children: each may listen on one for UDP and TCP, and the next for TLS."""


def children(max_calls: int, limit: int) -> int:
    """Return how many processes it takes."""
    return -(-max_calls // limit)


def child_config(config: SipConfig, index: int, most: int) -> dict[str, Any]:
    """Say what the child `index` is to do, with at most `most` calls.

    The first child registers; the others know the lines as well, so that calls can go out by them.
    """
    host, port = split_listen(config.listen)
    first, last = config.rtp_ports
    share = (last - first + 1) // children(config.max_calls, CALLS_PER_CHILD) & ~1
    start = first + index * share
    listen = port + STEP * index if port else 0
    return {
        "index": index,
        "host": host,
        "port": listen,
        "public": config.public_address,
        "transports": list(config.transports),
        "tls": _tls(config, listen, index),
        "calls": most,
        "refer": config.transfer_allowed,
        "user_agent": config.user_agent,
        "codecs": list(config.codecs),
        "rtp": [start, start + share - 1],
        "srtp": config.srtp,
        "rtp_timeout": config.rtp_timeout_secs,
        "session_expires": config.session_expires_secs,
        "log": config.log_level,
        "proxy": _routed(config.outbound_proxy),
        "lines": [
            {"name": "", "id": ""},
            *(_line(name, line, register=index == 0) for name, line in config.lines.items()),
        ],
        "admit": {
            "allow": list(config.allow),
            "per_minute": config.invites_per_minute,
            "retry_after": config.retry_after_secs,
        },
    }


def _tls(config: SipConfig, listen: int, index: int) -> dict[str, Any] | None:
    if config.tls is None:
        return None
    port = config.tls.port
    given = listen + 1 if port is None and listen else (port or 0) + (STEP * index if port else 0)
    return {"cert": config.tls.cert, "key": config.tls.key, "ca": config.tls.ca, "port": given}


def _line(name: str, line: Registrar, *, register: bool) -> dict[str, Any]:
    return {
        "name": name,
        "id": f"sip:{line.user}@{domain(line)}",
        "registrar": line.uri,
        "register": register,
        "expires": line.expires_secs,
        "retry": line.retry_secs,
        "realm": line.realm,
        "auth_user": line.auth_user or line.user,
        "password": line.password.reveal() if line.password else "",
        "proxy": _routed(line.proxy),
    }


def _routed(proxy: str | None) -> str | None:
    """Make a Route of a proxy's URI: a loose router (RFC 3261 §16.12)."""
    return None if proxy is None else f"<{proxy}>" if ";lr" in proxy else f"<{proxy};lr>"


def domain(line: Registrar) -> str:
    """Return the host part of a line's address of record."""
    found = sip_uri.parse(line.uri)
    return line.domain or (found.host if found else "")


def target(config: SipConfig, to: str) -> tuple[str, str]:
    """Return the line to call by, and the URI of `to`: a SIP or tel URI, or a number; raises `ValueError`."""
    lines = config.lines
    line = next(iter(lines), "")
    found = sip_uri.parse(to) if to.lower().startswith(("sip:", "sips:", "tel:")) else None
    if found is not None and found.scheme != "tel":
        known = [name for name, one in lines.items() if domain(one).lower() == found.host.lower()]
        return (known[0] if known else "" if not lines else line), to
    digits = "".join(one for one in (found.user if found else to) if one not in " ()-./")
    if not digits or not all(one.isalnum() or one in "+*#" for one in digits):
        raise ValueError("`to` is no SIP or tel URI and no number")
    user = digits.replace("#", "%23")
    if line:
        own = lines[line].domain
        return line, f"sip:{user}@{own}" if own else _at(user, lines[line].uri)
    if config.outbound_proxy is None:
        raise ValueError("`to` is a number, and the channel has neither `registrar` nor `outbound_proxy`")
    return "", _at(user, config.outbound_proxy)


def _at(user: str, server: str) -> str:
    """Address somebody at a server, with its port and transport."""
    found = sip_uri.parse(server)
    if found is None:
        raise ValueError(f"{server!r} is no SIP URI")
    port = f":{found.port}" if found.port else ""
    transport = f";transport={found.params['transport']}" if "transport" in found.params else ""
    return f"{found.scheme}:{user}@{found.host}{port}{transport}"
