"""Addresses: listening sockets, and who is behind a proxy."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from aiohttp.web_request import BaseRequest

Networks = tuple[IPv4Network | IPv6Network, ...]


def split(listen: str) -> tuple[str, int]:
    """Split ``host:port``; brackets around an IPv6 address are dropped, an empty host is every interface."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def bind(listen: str, *, reuse_port: bool) -> socket.socket:
    """Bind a TCP socket; raises `OSError` that names the address."""
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
        sock.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
    except OSError as exc:
        sock.close()
        raise OSError(exc.errno, f"cannot listen on {listen}: {exc.strerror}") from exc
    return sock


def parse_networks(entries: Iterable[str]) -> Networks:
    """Read addresses and networks; raises `ValueError`."""
    return tuple(ip_network(entry, strict=False) for entry in entries)


def client_address(request: BaseRequest, trusted: Networks) -> str | None:
    """Return who asked: the peer, or what a trusted proxy says in X-Forwarded-For (its last untrusted entry)."""
    remote = request.remote
    if not trusted or remote is None:
        return remote
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    for hop in reversed([*hops, remote]):
        try:
            address = ip_address(hop)
        except ValueError:
            return remote
        if not any(address in network for network in trusted):
            return hop
    return remote
