"""Who is behind a proxy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Networks = tuple[IPv4Network | IPv6Network, ...]


def parse_networks(entries: Iterable[str]) -> Networks:
    """Read addresses and networks; raises `ValueError`."""
    return tuple(ip_network(entry, strict=False) for entry in entries)


def client_address(remote: str | None, lines: Sequence[str], trusted: Networks) -> str | None:
    """Return who asked: the peer `remote`, or what trusted proxies say in the `lines` of X-Forwarded-For.

    Each proxy appends whom it was asked by, some in a header line of their own, so the list is read from its end: the
    first that is no trusted proxy is the client. What stands before it the client may have made up.
    """
    if not trusted or remote is None:
        return remote
    client = remote
    for hop in reversed([*",".join(lines).split(","), remote]):
        address = _parse(hop.strip())
        if address is None:
            break
        client = str(address)
        if not any(address in network for network in trusted):
            break
    return client


def _parse(hop: str) -> IPv4Address | IPv6Address | None:
    """Read an address, also with a port; an IPv4 client of an IPv6 socket (``::ffff:…``) is an IPv4 client."""
    host, _, port = hop.rpartition(":")
    for text in (hop, hop.strip("[]"), host.strip("[]") if port.isdigit() else hop):
        with suppress(ValueError):
            address = ip_address(text)
            return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
    return None
