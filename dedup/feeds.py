"""What a feed is: a short-lived, ordered list of entries under a name, that several processes write and follow.

The conversation of a web chat is one: whoever holds the visitor's socket follows it, whoever has something to say
appends, on whatever node. An entry has a *uid*: appending it again changes nothing, so a writer that does not know
what became of its attempt simply repeats it.

`seq` rises within a feed over all processes and nodes: ``max(last seq + 1, microseconds since 1970)``, a time for the
reason told in `dedup/README.md`. An entry is only ever added behind all others, so whoever has read up to a `seq` has
missed nothing before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

MOST = 10_000
"""Entries a feed keeps; the oldest go first."""
LOOK = b""
"""What an ear hears when its feed may have news."""

Ear = Callable[[bytes], None]
"""Called in the event loop with `LOOK`, or with what somebody said by `Feeds.signal`; must not block or raise."""


class Entry(Struct, frozen=True, array_like=True):
    """One entry, as it was appended."""

    seq: int
    uid: str
    body: bytes


class Feeds(Protocol):
    """The store. All coroutines raise `dedup.api.DedupUnavailable` within a bounded time when it does not answer."""

    async def append(self, feed: str, uid: str, body: bytes, *, keep: float) -> tuple[int, bool]:
        """Add an entry that is kept for `keep` seconds, and wake who listens.

        Returns:
            Its `seq`, and whether it is new: False when an entry of this `uid` is there, which stays as it is.
        """
        ...

    async def find(self, feed: str, uid: str) -> Entry | None:
        """Return the entry of a uid."""
        ...

    async def after(self, feed: str, seq: int, *, limit: int) -> list[Entry]:
        """Return the first entries behind `seq`, oldest first."""
        ...

    async def before(self, feed: str, seq: int | None, *, limit: int) -> list[Entry]:
        """Return the last entries before `seq`, or of all, newest first."""
        ...

    async def signal(self, feed: str, body: bytes) -> None:
        """Let everybody who listens now hear `body`, which is not empty; it is kept nowhere and may get lost."""
        ...

    def listen(self, feed: str, ear: Ear) -> Callable[[], None]:
        """Wake `ear` at news of a feed; returns what ends it.

        It is woken once more than needed rather than once too few: also when the listening has just begun or begun
        again, so to register first and to read then misses nothing.
        """
        ...

    async def run(self) -> None:
        """Do what is done in the background, until cancelled; without it nothing is heard."""
        ...

    async def close(self) -> None:
        """Let go of connections and files."""
        ...


class Ears:
    """Who listens in this process, by feed."""

    def __init__(self) -> None:
        """Begin without any."""
        self._ears: dict[str, dict[object, Ear]] = {}

    def add(self, feed: str, ear: Ear) -> Callable[[], bool]:
        """Register an ear; what is returned removes it, and tells whether it was the last of its feed."""
        mark = object()
        self._ears.setdefault(feed, {})[mark] = ear

        def remove() -> bool:
            there = self._ears.get(feed)
            if there is None or there.pop(mark, None) is None or there:
                return False
            del self._ears[feed]
            return True

        return remove

    def __contains__(self, feed: object) -> bool:
        """Tell whether anybody listens to a feed."""
        return feed in self._ears

    def __bool__(self) -> bool:
        """Tell whether anybody listens at all."""
        return bool(self._ears)

    @property
    def feeds(self) -> list[str]:
        """Feeds somebody listens to."""
        return list(self._ears)

    def hear(self, feed: str, body: bytes = LOOK) -> None:
        """Wake who listens to a feed."""
        for ear in list(self._ears.get(feed, {}).values()):
            ear(body)
