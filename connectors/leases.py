"""Leases: one holder among all workers and nodes, by `connectors.api.State`.

A lease is no lock: a holder that is stopped for longer than the lease (SIGSTOP, a clock that jumps) may believe in it
while somebody else has it. What is guarded must stay right then, and only be wasteful: a mailbox read by two holders
gives duplicates, which are recognised; a token fetched twice is a token fetched twice.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress

from connectors.api import State
from connectors.errors import StateUnavailable

LEASE_SECS = 30.0


class Lease:
    """One lease, as one possible holder sees it."""

    def __init__(self, state: State, name: str, *, secs: float = LEASE_SECS) -> None:
        """Be a candidate for the lease `name`, which ends `secs` after it was last renewed."""
        self._state, self._key, self.secs = state, f"lease:{name}", secs
        self._me = uuid.uuid4().hex.encode()

    async def take(self) -> bool:
        """Get it, or renew it; tell whether it is ours. Raises `StateUnavailable`."""
        state, me = self._state, self._me
        return await state.swap(self._key, me, me, ttl=self.secs) or await state.swap(
            self._key, None, me, ttl=self.secs
        )

    async def release(self) -> None:
        """Give it back, if it is ours; when the store is away, it runs out by itself."""
        with suppress(StateUnavailable):
            await self._state.swap(self._key, self._me, None)

    async def hold(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` whenever the lease is ours, until `work` returns; give up the work when the lease is lost.

        Raises:
            StateUnavailable: the store was away for so long that the lease has run out.
            Exception: what `work` raises; the lease is given back.
        """
        while True:
            while not await self.take():  # noqa: ASYNC110 -- another process holds it
                await asyncio.sleep(self.secs / 3)
            try:
                if await self._guarded(work):
                    return
            finally:
                await self.release()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            async with asyncio.TaskGroup() as group:
                working = group.create_task(_run(work))
                keeping = group.create_task(self._keep())
                await asyncio.wait((working, keeping), return_when=asyncio.FIRST_COMPLETED)
                working.cancel()
                keeping.cancel()
        except BaseExceptionGroup as exc:
            raise exc.exceptions[0] from None  # of two tasks, one was cancelled: there is one reason
        return not working.cancelled()

    async def _keep(self) -> None:
        """Renew until the lease is lost; a store that is away for less than the lease does not end it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.secs
        while True:
            await asyncio.sleep(self.secs / 3)
            asked = loop.time()
            try:
                if not await self.take():
                    return
                until = asked + self.secs
            except StateUnavailable:
                if asked + self.secs / 3 >= until:
                    raise


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()
