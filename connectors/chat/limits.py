"""How much is enough: rates of sessions, connections of clients."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable

MINUTE = 60.0
REMEMBERED = 50_000
"""Sessions and clients whose rates are remembered; beyond it those that were silent longest begin anew."""


class Rates:
    """A bucket of tokens for each name: `per_minute` in the long run, `burst` at once."""

    def __init__(self, per_minute: float, *, burst: float, clock: Callable[[], float]) -> None:
        """Begin full; 0 `per_minute` limits nothing. `clock` in seconds from anywhere."""
        self._rate, self._burst, self._clock = per_minute / MINUTE, max(1.0, burst), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """Take one token; returns 0, or the seconds until there is one."""
        if not self._rate:
            return 0.0
        now = self._clock()
        level, at = self._buckets.pop(name, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate)
        short = level < 1.0
        self._buckets[name] = (level if short else level - 1.0, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return (1.0 - level) / self._rate if short else 0.0


class Places:
    """Connections, all together and of each client."""

    def __init__(self, most: int, each: int) -> None:
        """Allow `most`, and `each` to one client."""
        self._most, self._each = most, each
        self._taken: Counter[str] = Counter()
        self.total = 0

    def take(self, client: str) -> int:
        """Take a place; returns 0, or the HTTP status of the refusal."""
        if self.total >= self._most:
            return 503
        if self._taken[client] >= self._each:
            return 429
        self._taken[client] += 1
        self.total += 1
        return 0

    def leave(self, client: str) -> None:
        """Give a place back that was taken."""
        self.total -= 1
        self._taken[client] -= 1
        if self._taken[client] <= 0:
            del self._taken[client]


def client_of(address: str | None) -> str:
    """Name a client for the limits: an IPv4 address, or the /64 that one IPv6 customer gets."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)
