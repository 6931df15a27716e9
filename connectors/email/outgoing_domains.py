"""Which domains cannot take mail now: each is left alone for a while, and holds nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable

REMEMBERED = 10_000
"""Domains in trouble that are remembered, the newest."""


class Domains:
    """Back-off per domain of the recipient."""

    def __init__(self, *, base: float, cap: float, steady: Callable[[], float] = time.monotonic) -> None:
        """Wait `base` seconds after the first failure, and twice as long after each that follows, up to `cap`."""
        self._base, self._cap, self._steady = base, cap, steady
        self._troubled: dict[str, tuple[int, float]] = {}  # failures in a row, until when

    def wait(self, domain: str) -> float:
        """Return the seconds until mail for `domain` may be tried."""
        _, until = self._troubled.get(domain, (0, 0.0))
        return max(0.0, until - self._steady())

    def failed(self, domain: str) -> float:
        """Note that it cannot take mail; returns how long it is left alone."""
        failures, until = self._troubled.pop(domain, (0, 0.0))
        if until <= self._steady():  # not one more of those that were under way when it began
            failures += 1
            until = self._steady() + min(self._cap, self._base * 2.0 ** min(failures - 1, 32))
        self._troubled[domain] = failures, until
        if len(self._troubled) > REMEMBERED:
            del self._troubled[next(iter(self._troubled))]
        return until - self._steady()

    def succeeded(self, domain: str) -> None:
        """Note that it took a mail."""
        self._troubled.pop(domain, None)


def domain_of(address: str) -> str:
    """Return what counts as one destination."""
    return address.rpartition("@")[2].lower()
