"""Listening by Redis' publish/subscribe, on one connection per process.

A message can only be missed while there is no connection, or before the server has confirmed a subscription. So every
confirmation wakes its ears: they look, and know everything up to that moment.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool

from dedup.feeds import LOOK, Ear, Ears
from dedup.resp import AWAY, Word, pack

PING_SECS = 5.0
"""How often the connection is proved to be alive; without an answer by the next it is given up."""
RETRY_SECS = 0.5
CHUNK = 500  # channels in one SUBSCRIBE


class PubSub:
    """See the module; `run` does the work."""

    def __init__(self, pool: ConnectionPool, *, prefix: str, timeout: float) -> None:
        """Use a connection of `pool`, and channels that begin with `prefix`; `timeout` in seconds to connect."""
        self._pool, self._prefix, self._timeout = pool, prefix, timeout
        self._ears = Ears()
        self._changes: dict[str, bool] = {}  # feed → to be subscribed, or no more
        self._wake = asyncio.Event()

    def channel(self, feed: str) -> str:
        """Name the channel of a feed."""
        return self._prefix + feed

    def listen(self, feed: str, ear: Ear) -> Callable[[], None]:
        """See `Feeds.listen`."""
        if feed not in self._ears:
            self._change(feed, subscribe=True)
        remove = self._ears.add(feed, ear)

        def end() -> None:
            if remove():
                self._change(feed, subscribe=False)

        return end

    def _change(self, feed: str, *, subscribe: bool) -> None:
        self._changes[feed] = subscribe
        self._wake.set()

    async def run(self) -> None:
        """Listen until cancelled, over connections that break."""
        while True:
            while not self._ears:  # nothing to connect for
                await self._wake.wait()
                self._wake.clear()
            connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                async with asyncio.timeout(self._timeout):
                    await connection.connect()  # type: ignore[no-untyped-call]
                self._changes = dict.fromkeys(self._ears.feeds, True)
                await self._serve(connection)
            except* AWAY:
                await asyncio.sleep(RETRY_SECS)
            finally:
                await connection.disconnect(nowait=True)

    async def _serve(self, connection: AbstractConnection) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write(connection))
            while True:
                async with asyncio.timeout(2 * PING_SECS):
                    answer = await connection.read_response(disable_decoding=True, timeout=math.inf)
                self._heard(answer)

    def _heard(self, answer: Any) -> None:
        if not isinstance(answer, list) or answer[0] not in {b"subscribe", b"message"}:
            return  # the answer to PING or to UNSUBSCRIBE
        feed = answer[1].decode().removeprefix(self._prefix)
        self._ears.hear(feed, answer[2] if answer[0] == b"message" else LOOK)

    async def _write(self, connection: AbstractConnection) -> None:
        """Subscribe and unsubscribe as ears come and go, and ask now and then whether the server is there."""
        while True:
            changes, self._changes = self._changes, {}
            for word, wanted in (("SUBSCRIBE", True), ("UNSUBSCRIBE", False)):
                names = iter([self.channel(feed) for feed, subscribe in changes.items() if subscribe is wanted])
                while chunk := list(islice(names, CHUNK)):
                    await _send(connection, (word, *chunk))
            if not changes:
                await _send(connection, ("PING",))
            try:
                async with asyncio.timeout(PING_SECS):
                    await self._wake.wait()
                self._wake.clear()
            except TimeoutError:
                continue


async def _send(connection: AbstractConnection, words: Sequence[Word]) -> None:
    await connection.send_packed_command(pack(words), check_health=False)
