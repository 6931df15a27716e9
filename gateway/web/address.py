"""Addresses to listen on."""

from __future__ import annotations

import socket

BACKLOG = 1024


def split(listen: str) -> tuple[str, int]:
    """Split ``host:port``; brackets around an IPv6 address are dropped, an empty host is every interface."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def bind(listen: str) -> socket.socket:
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
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
    except OSError as exc:
        sock.close()
        raise OSError(exc.errno, f"cannot listen on {listen}: {exc.strerror}") from exc
    return sock
