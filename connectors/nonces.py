"""Replay protection where a signature does not cover the body: a nonce belongs to the body it was first seen with.

A repeated delivery has the same body and passes, to be recognised as a duplicate; the same nonce with another body is
somebody else's. Nonces are remembered for the replay window, in `Context.state`, so that all workers and nodes know
them; while the store is away each process knows its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

from connectors.api import State
from connectors.errors import StateUnavailable, Unauthorized

KNOWN_MAX = 10_000
STORE_SECS = 0.5
"""How long a delivery waits for the store; then this process decides alone."""


class Nonces:
    """The nonces of one channel."""

    def __init__(
        self,
        state: State,
        *,
        keep_secs: float,
        status: int = 401,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember nonces for `keep_secs`; `status` is the HTTP answer to a stolen one."""
        self._state, self._keep, self._status, self._clock = state, keep_secs, status, clock
        self._known: dict[str, tuple[bytes, float]] = {}

    async def check(self, nonce: str, body: bytes) -> None:
        """Take note of `nonce`, which was signed together with its time; raises `Unauthorized`."""
        digest, now = sha256(body).digest(), self._clock()
        known, until = self._known.get(nonce, (digest, 0.0))
        if until > now:
            self._same(known, digest)
            return
        self._remember(nonce, digest, now)
        with suppress(TimeoutError, StateUnavailable):
            async with asyncio.timeout(STORE_SECS):
                if not await self._state.swap(f"nonce:{nonce}", None, digest, ttl=self._keep):
                    known = await self._state.get(f"nonce:{nonce}") or digest
                    self._remember(nonce, known, now)
                    self._same(known, digest)

    def _same(self, known: bytes, digest: bytes) -> None:
        if known != digest:
            raise Unauthorized("this signature came with another body before", self._status)

    def _remember(self, nonce: str, digest: bytes, now: float) -> None:
        if len(self._known) >= KNOWN_MAX:  # the oldest came first
            del self._known[next(iter(self._known))]
        self._known.pop(nonce, None)
        self._known[nonce] = (digest, now + self._keep)
