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
    """See the module; times are loop times in seconds.

    Attributes:
        expected: items that were under way at once, and may be again.
        goal: as many are enough for a batch.
    """

    __slots__ = ("_since", "expected", "goal")

    def __init__(self) -> None:
        """Expect nobody."""
        self.expected, self.goal, self._since = 0, 1, 0.0

    @property
    def until(self) -> float:
        """When the present batch is enough in any case."""
        return self._since + GATHER_SECS

    def begin(self, since: float) -> None:
        """Note when the first of a batch came; 0 for a batch that has waited before."""
        self._since = since

    def expect(self, live: int) -> None:
        """Expect as many as are under way at once."""
        self.expected = live
        self.goal = 1 if live < GATHER_FROM else min(live, MOST)

    def enough(self, fresh: int, live: int, now: float) -> bool:
        """Tell whether `fresh` items, of the `live` ones that are under way, are to go now."""
        if fresh >= self.goal:
            return True
        if now < self.until:
            return False
        self.expect(live)
        return True
