"""What each client has done lately, and when that is enough."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable

from connectors.email import replies
from connectors.email.config import ListenerConfig

MINUTE, HOUR = 60.0, 3600.0


class _Window:
    """Counts per client, forgotten all at once every `secs`: the memory it takes is bounded by what happens in them."""

    def __init__(self, secs: float) -> None:
        self._secs, self._until = secs, 0.0
        self._counts: Counter[str] = Counter()

    def add(self, client: str, now: float, count: int = 1) -> int:
        if now >= self._until:
            self._counts.clear()
            self._until = now + self._secs
        if count:
            self._counts[client] += count
        return self._counts.get(client, 0)


class Peers:
    """The clients of one listener."""

    def __init__(self, config: ListenerConfig, clock: Callable[[], float]) -> None:
        """Count by the limits of `config`; `clock` in seconds from anywhere."""
        self._config, self._clock = config, clock
        self._open: Counter[str] = Counter()
        self._connects, self._mails, self._failures = _Window(MINUTE), _Window(MINUTE), _Window(HOUR)

    def enter(self, peer: str) -> str | None:
        """Count a connection in; returns the refusal where there is no place for it."""
        client, config = network(peer), self._config
        recent = self._connects.add(client, self._clock())
        if self._open.total() >= config.max_connections:
            return replies.CROWDED
        if self._open[client] >= config.max_connections_per_ip:
            return replies.CROWDED_BY_YOU
        if 0 < config.connections_per_minute_per_ip < recent:
            return replies.TOO_OFTEN
        self._open[client] += 1
        return None

    def leave(self, peer: str) -> None:
        """Count a connection out that was let in."""
        client = network(peer)
        self._open[client] -= 1
        if self._open[client] <= 0:
            del self._open[client]

    def begin_mail(self, peer: str) -> bool:
        """Count a mail; false where it is one too many."""
        recent = self._mails.add(network(peer), self._clock())
        return not 0 < self._config.mails_per_minute_per_ip < recent

    def failed_logins(self, peer: str, *, another: bool = False) -> int:
        """Return the failures of the last hour or less, counting one more where there was `another`."""
        return self._failures.add(network(peer), self._clock(), int(another))


def network(peer: str) -> str:
    """The client for the limits: an IPv4 address, or the /64 that one IPv6 customer gets."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return peer
