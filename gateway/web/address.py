"""Addresses: listening sockets, and who is behind a proxy."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

BACKLOG = 1024
Networks = tuple[IPv4Network | IPv6Network, ...]


def split(listen: str) -> tuple[str, int]:
    """Split ``host:port``; brackets around an IPv6 address are dropped, an empty host is every interface."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def bind(listen: str, *, reuse_port: bool) -> socket.socket:
    """Take a TCP address; raises `OSError` that names it. Clients wait in the kernel until somebody accepts them.

    It listens, because on Linux two programs can bind an address on which nobody listens yet.
    """
    host, port = split(listen)
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
    except OSError as exc:
        raise OSError(exc.errno, f"cannot resolve {listen}: {exc.strerror}") from exc
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
    except OSError as exc:
        sock.close()
        raise OSError(exc.errno, f"cannot listen on {listen}: {exc.strerror}") from exc
    return sock


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
