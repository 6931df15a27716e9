"""File descriptors: what the listeners of this process may need, and what the system lets it have.

The usual limit of 1024 is less than the connections a chat or a webhook port is to take, and a process without a
descriptor left cannot accept, open its files or reach its broker. So every listener says beforehand how many it may
need, the limit is raised to the sum, and one that cannot have all takes fewer connections instead.
"""

from __future__ import annotations

import resource

SHARE = 0.5
"""Of the limit: what a listener is let have at least where all together want more than there is."""


class Descriptors:
    """The needs of one process."""

    def __init__(self) -> None:
        """Nobody needs any yet."""
        self._wanted: dict[str, int] = {}

    def reserve(self, name: str, count: int) -> int:
        """Note that `name` may need `count`, raise the limit as far as may be; returns how many it can have."""
        self._wanted[name] = count
        total = sum(self._wanted.values())
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= total:
            return count
        limit = total if hard == resource.RLIM_INFINITY else min(total, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        return min(count, max(limit - (total - count), int(limit * SHARE)))

    def release(self, name: str) -> None:
        """Forget a need."""
        self._wanted.pop(name, None)

    @property
    def wanted(self) -> int:
        """What the limit should be."""
        return sum(self._wanted.values())

    @property
    def limit(self) -> int:
        """What the limit is."""
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


DESCRIPTORS = Descriptors()
"""Those of this process; the limit is the process's, too."""
