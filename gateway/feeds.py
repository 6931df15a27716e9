"""The feeds of a channel, in the store that its workers and nodes have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from typing_extensions import override

from connectors import feeds as contract
from connectors.errors import StateUnavailable
from connectors.feeds import Ear, FeedEntry
from dedup.api import DedupUnavailable
from dedup.feeds import Feeds
from dedup.feeds_embedded import EmbeddedFeeds
from gateway.settings.model import DedupSection


def make_feeds(section: DedupSection, data_dir: Path) -> Feeds:
    """Choose the store by the URL of the dedup store, beside which it is."""
    if section.url == "embedded:":
        return EmbeddedFeeds(data_dir / "feeds.db")
    from dedup.feeds_redis import RedisFeeds  # noqa: PLC0415 -- a quarter of a second that `embedded:` can do without

    return RedisFeeds(section.url, timeout=section.timeout_secs)


class ChannelFeeds(contract.Feeds):
    """See `connectors.feeds.Feeds`."""

    def __init__(self, store: Feeds, channel_id: str) -> None:
        """Keep the feeds of one channel apart from those of others; the length stands for itself in every name."""
        self._store, self._prefix = store, f"{len(channel_id)}:{channel_id}:"

    @override
    async def append(self, feed: str, uid: str, body: bytes, *, keep: float) -> tuple[int, bool]:
        try:
            return await self._store.append(self._prefix + feed, uid, body, keep=keep)
        except DedupUnavailable as exc:
            raise StateUnavailable(str(exc)) from exc

    @override
    async def find(self, feed: str, uid: str) -> FeedEntry | None:
        try:
            return await self._store.find(self._prefix + feed, uid)
        except DedupUnavailable as exc:
            raise StateUnavailable(str(exc)) from exc

    @override
    async def after(self, feed: str, seq: int, *, limit: int) -> Sequence[FeedEntry]:
        try:
            return await self._store.after(self._prefix + feed, seq, limit=limit)
        except DedupUnavailable as exc:
            raise StateUnavailable(str(exc)) from exc

    @override
    async def before(self, feed: str, seq: int | None, *, limit: int) -> Sequence[FeedEntry]:
        try:
            return await self._store.before(self._prefix + feed, seq, limit=limit)
        except DedupUnavailable as exc:
            raise StateUnavailable(str(exc)) from exc

    @override
    async def signal(self, feed: str, body: bytes) -> None:
        try:
            await self._store.signal(self._prefix + feed, body)
        except DedupUnavailable as exc:
            raise StateUnavailable(str(exc)) from exc

    @override
    def listen(self, feed: str, ear: Ear) -> Callable[[], None]:
        return self._store.listen(self._prefix + feed, ear)
