"""When enough has come together for a round trip.

A batch costs little more than an item, here, in Redis and in RabbitMQ. Providers and proxies send the next delivery of
a connection when the last one was answered, so where many were under way at once just now, as many will be again in a
moment: the first of them wait for the others, `GATHER_SECS` at most. Who does not come in that time is not expected any
more.
"""

from __future__ import annotations

MOST = 256
"""Items per round trip: bounds the latency a batch adds."""
GATHER_SECS = 0.01
"""How long at most the first of a batch waits for as many as were under way before …"""
GATHER_FROM = 16
"""… if that were so many."""


class Gathering:
    """See the module; times are loop times in seconds."""

    __slots__ = ("_expected", "_since")

    def __init__(self) -> None:
        """Expect nobody."""
        self._expected = 0
        self._since = 0.0

    @property
    def until(self) -> float:
        """When the present batch is enough in any case."""
        return self._since + GATHER_SECS

    def begin(self, since: float) -> None:
        """Note when the first of a batch came; 0 for a batch that has waited before."""
        self._since = since

    def expect(self, live: int) -> None:
        """Note how many items are under way at once."""
        self._expected = max(self._expected, live)

    def enough(self, fresh: int, live: int, now: float) -> bool:
        """Tell whether `fresh` items, of the `live` ones that are under way, are to go now."""
        if self._expected < GATHER_FROM or fresh >= min(self._expected, MOST):
            return True
        if now < self.until:
            return False
        self._expected = live
        return True
