"""What a channel remembers, kept by the dedup store, which is what its workers and nodes have in common."""

from __future__ import annotations

from typing_extensions import override

from connectors.api import State
from connectors.errors import StateUnavailable
from dedup.api import Deduplicator, DedupUnavailable


class ChannelState(State):
    """See `connectors.api.State`."""

    def __init__(self, store: Deduplicator, channel_id: str) -> None:
        """Keep the values of one channel apart from those of others; the length stands for itself in every key."""
        self._store, self._prefix = store, f"state:{len(channel_id)}:{channel_id}:"

    @override
    async def get(self, key: str) -> bytes | None:
        try:
            return await self._store.recall(self._prefix + key)
        except DedupUnavailable as exc:
            raise StateUnavailable(str(exc)) from exc

    @override
    async def put(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        try:
            await self._store.remember(self._prefix + key, value, keep=ttl)
        except DedupUnavailable as exc:
            raise StateUnavailable(str(exc)) from exc

    @override
    async def swap(self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None) -> bool:
        try:
            return await self._store.swap(self._prefix + key, expected, value, keep=ttl)
        except DedupUnavailable as exc:
            raise StateUnavailable(str(exc)) from exc
