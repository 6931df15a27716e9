"""Access tokens that one node fetches and all use.

Some providers void the old token when a new one is given out (WeChat, see
https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html), so that nodes which each
fetch their own keep throwing each other out. Here one of them fetches, under a lease, and the others read it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from connectors.api import State
from connectors.errors import StateUnavailable, Unreachable
from connectors.leases import Lease

AHEAD = 0.1
"""Part of its life for which a token is left when a new one is fetched."""
FETCH_SECS = 20.0
POLL_SECS = 0.05


class Token(Struct, frozen=True, array_like=True):
    """A token with its life: both times are seconds since the epoch."""

    value: str
    fetched: float
    expires: float

    def fresh(self, now: float) -> bool:
        """Tell whether it has more than a tenth of its life left."""
        return now < self.expires - AHEAD * (self.expires - self.fetched)


Fetch = Callable[[], Awaitable[tuple[str, float]]]
"""Asks the provider: the token, and for how many seconds it is good. Raises `SendError`."""


class SharedToken:
    """One token of one channel. Without the store every process fetches for itself, which is better than not at all."""

    def __init__(self, state: State, name: str, fetch: Fetch, *, clock: Callable[[], float] = time.time) -> None:  # noqa: TID251
        """Keep the token `name` in `state`; `fetch` gets a new one."""
        self._state, self._key, self._fetch, self._clock = state, f"token:{name}", fetch, clock
        self._lease = Lease(state, f"token:{name}", secs=FETCH_SECS)
        self._known: Token | None = None
        self._refused = ""
        self._one_at_a_time = asyncio.Lock()

    async def get(self) -> str:
        """Return a token that works for a while; raises what `fetch` raises."""
        if self._known is not None and self._known.fresh(self._clock()):
            return self._known.value
        async with self._one_at_a_time:
            if self._known is None or not self._known.fresh(self._clock()):
                self._known = await self._renew()
            return self._known.value

    def refuse(self, value: str) -> None:
        """Take note that the provider does not accept `value` (any more); the next `get` returns another one."""
        self._refused = value
        if self._known is not None and self._known.value == value:
            self._known = None

    @property
    def expires(self) -> float | None:
        """When the token in use ends, in seconds since the epoch; None before the first."""
        return None if self._known is None else self._known.expires

    async def _renew(self) -> Token:
        try:
            return await self._shared()
        except StateUnavailable:
            return await self._new()

    async def _shared(self) -> Token:
        deadline = self._clock() + FETCH_SECS
        while self._clock() < deadline:
            if (found := await self._read()) is not None:
                return found
            if await self._lease.take():
                try:
                    if (found := await self._read()) is not None:  # fetched while we waited for the lease
                        return found
                    token = await self._new()
                    await self._state.put(
                        self._key, msgspec.json.encode(token), ttl=max(1.0, token.expires - token.fetched)
                    )
                    return token
                finally:
                    await self._lease.release()
            await asyncio.sleep(POLL_SECS)
        raise Unreachable("another node has been fetching the access token for too long")

    async def _read(self) -> Token | None:
        stored = await self._state.get(self._key)
        token = None if stored is None else msgspec.json.decode(stored, type=Token)
        usable = token is not None and token.value != self._refused and token.fresh(self._clock())
        return token if usable else None

    async def _new(self) -> Token:
        now = self._clock()
        value, secs = await self._fetch()
        return Token(value, now, now + secs)
