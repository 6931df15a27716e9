"""What is remembered of a conversation: where it can be answered, and what was offered to choose from.

In `Context.state`, for all workers and nodes. While the store is away everything is sent by the API, and what people
tap comes as text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct
from yarl import URL

from connectors.api import State
from connectors.errors import StateUnavailable

STORE_SECS = 0.5
"""How long a delivery or a message waits for the store."""
SPARE_SECS = 5.0
"""A session webhook that ends so soon is not used."""
OFFER_SECS = 86_400.0
SESSION_PATH = "/robot/sendBySession"
KEPT_SECS = 7 * 86_400.0
"""The longest that a session is believed to last."""


class Session(Struct, frozen=True, array_like=True):
    """Where a conversation can be answered, and until when, in seconds since the epoch."""

    url: str
    until: float


class Memory:
    """Of one channel."""

    def __init__(
        self,
        state: State,
        base: str,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- sessions end at a time of day
    ) -> None:
        """Remember in `state`; session webhooks must lead to `base`."""
        self._state, self._base, self._clock = state, URL(base), clock

    async def opened(self, conversation: str, url: str, until: float) -> None:
        """Take note of a session webhook, not of one that leads elsewhere: no signature covers it."""
        left = min(until - self._clock(), KEPT_SECS)
        if left > SPARE_SECS and self.ours(url):
            session = msgspec.json.encode(Session(url, until))
            await self._put(f"session:{conversation}", session, left)

    def ours(self, url: str) -> bool:
        """Tell whether an address is one of DingTalk's for answers."""
        try:
            told = URL(url)
            return (
                told.origin() == self._base.origin()
                and told.path == self._base.path.rstrip("/") + SESSION_PATH
                and told.user is None
            )
        except ValueError:
            return False

    async def session(self, conversation: str) -> Session | None:
        """Return the session webhook of a conversation while it works."""
        stored = await self._get(f"session:{conversation}")
        session = None if stored is None else msgspec.json.decode(stored, type=Session)
        alive = session is not None and session.until > self._clock() + SPARE_SECS and self.ours(session.url)
        return session if alive else None

    async def over(self, conversation: str) -> None:
        """Forget a session webhook: DingTalk said that it works no more."""
        await self._put(f"session:{conversation}", msgspec.json.encode(Session("", 0.0)), 1.0)

    async def offered(self, conversation: str, items: Mapping[str, str]) -> None:
        """Take note of what people may tap, title → id; it replaces what was offered before."""
        await self._put(f"offer:{conversation}", msgspec.json.encode(items), OFFER_SECS)

    async def chosen(self, conversation: str, words: str) -> str | None:
        """Return the id of the item whose title was said, None if none was offered."""
        stored = await self._get(f"offer:{conversation}") if words else None
        return None if stored is None else msgspec.json.decode(stored, type=dict[str, str]).get(words)

    async def _get(self, key: str) -> bytes | None:
        with suppress(TimeoutError, StateUnavailable):
            async with asyncio.timeout(STORE_SECS):
                return await self._state.get(key)
        return None

    async def _put(self, key: str, value: bytes, ttl: float) -> None:
        with suppress(TimeoutError, StateUnavailable):
            async with asyncio.timeout(STORE_SECS):
                await self._state.put(key, value, ttl=ttl)
