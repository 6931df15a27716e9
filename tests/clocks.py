"""A clock that a test sets."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch; stands still unless the test moves `now`."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Shifted:
    """The time of day, and what the test adds to `ahead` of it, in seconds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead
