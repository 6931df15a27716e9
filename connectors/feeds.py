"""Feeds, as connectors see them: lists of a channel that all workers and nodes append to and follow.

`connectors.api.State` remembers single values; a feed is for what is told in order to somebody who comes and goes, such
as the messages of a web chat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from typing_extensions import override

from connectors.errors import StateUnavailable

Ear = Callable[[bytes], None]
"""Called in the event loop: with nothing when its feed may have news, else with what somebody signalled."""


class FeedEntry(Protocol):
    """One entry; `seq` rises within its feed and is below 2^53, `uid` is what it was appended under."""

    @property
    def seq(self) -> int:
        """Where it stands; microseconds since 1970, or a little more."""
        ...

    @property
    def uid(self) -> str:
        """What it was appended under."""
        ...

    @property
    def body(self) -> bytes:
        """What was appended."""
        ...


class Feeds(Protocol):
    """The feeds of one channel; another channel has its own. All coroutines raise `StateUnavailable`.

    What `append` has returned is durable: on disk in the embedded store, and as durable as Redis is configured there.
    """

    async def append(self, feed: str, uid: str, body: bytes, *, keep: float) -> tuple[int, bool]:
        """Add an entry for `keep` seconds; returns its `seq`, and False where one of this `uid` is there already."""
        ...

    async def find(self, feed: str, uid: str) -> FeedEntry | None:
        """Return the entry of a uid."""
        ...

    async def after(self, feed: str, seq: int, *, limit: int) -> Sequence[FeedEntry]:
        """Return the first entries behind `seq`, oldest first."""
        ...

    async def before(self, feed: str, seq: int | None, *, limit: int) -> Sequence[FeedEntry]:
        """Return the last entries before `seq`, or of all, newest first."""
        ...

    async def signal(self, feed: str, body: bytes) -> None:
        """Let everybody who listens now hear `body`, which is not empty; it may get lost."""
        ...

    def listen(self, feed: str, ear: Ear) -> Callable[[], None]:
        """Wake `ear` at news, and once at the beginning; returns what ends it. First listen, then read."""
        ...


class NoFeeds(Feeds):
    """Where there is no store."""

    @override
    async def append(self, feed: str, uid: str, body: bytes, *, keep: float) -> tuple[int, bool]:
        raise StateUnavailable("there is no store of feeds")

    @override
    async def find(self, feed: str, uid: str) -> FeedEntry | None:
        raise StateUnavailable("there is no store of feeds")

    @override
    async def after(self, feed: str, seq: int, *, limit: int) -> Sequence[FeedEntry]:
        raise StateUnavailable("there is no store of feeds")

    @override
    async def before(self, feed: str, seq: int | None, *, limit: int) -> Sequence[FeedEntry]:
        raise StateUnavailable("there is no store of feeds")

    @override
    async def signal(self, feed: str, body: bytes) -> None:
        raise StateUnavailable("there is no store of feeds")

    @override
    def listen(self, feed: str, ear: Ear) -> Callable[[], None]:
        return lambda: None


NO_FEEDS = NoFeeds()
