"""Follows the feed of a conversation for one client: what is missing, in order, and then what comes."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from connectors.chat.entries import Renderer
from connectors.errors import StateUnavailable
from connectors.feeds import FeedEntry, Feeds

PAGE = 100
EVERYBODY = "*"
"""Feed of what concerns all conversations of a channel; only signals go there."""
GONE = b"!gone:"
"""A signal that ends a session: the rest is its id."""
LOOK_SECS = 60.0
"""How long a client waits at most for what nobody told us of: a safety net, not the way."""
RETRY_SECS = 1.0
SIGNALS = 32


class Follower:
    """See the module.

    Attributes:
        seq: up to where the client was given everything.
        gone: the session was revoked.
        on_entry: is told of each entry, as it goes to the client.
    """

    __slots__ = ("_ended", "_feed", "_feeds", "_news", "_renderer", "_session", "_signals", "gone", "on_entry", "seq")

    def __init__(self, feeds: Feeds, renderer: Renderer, *, feed: str, session: str, after: int) -> None:
        """Follow `feed` behind `after`, for `session`."""
        self._feeds, self._renderer, self._feed, self._session = feeds, renderer, feed, session
        self._news = asyncio.Event()
        self._signals: deque[bytes] = deque(maxlen=SIGNALS)
        self.gone = self._ended = False
        self.seq = after
        self.on_entry: Callable[[FeedEntry], None] | None = None

    def _hear(self, body: bytes) -> None:
        if body.startswith(GONE):
            self.gone = self.gone or body[len(GONE) :] == self._session.encode()
        elif body:
            self._signals.append(body)
        self._news.set()

    def listen(self) -> ExitStack:
        """Begin to listen; leave the context to end it."""
        stack = ExitStack()
        for feed in (self._feed, EVERYBODY):
            stack.callback(self._feeds.listen(feed, self._hear))
        return stack

    async def run(self, deliver: Callable[[bytes], Awaitable[None]]) -> None:
        """Hand every notification to `deliver`, until the session is revoked; what `deliver` raises passes through."""
        with self.listen():
            while not self.gone:
                self._news.clear()
                try:
                    batch = await self.step()
                except StateUnavailable:
                    batch = []
                    self._wake_in(RETRY_SECS)
                for notification in batch:
                    await deliver(notification)
                if not batch:
                    await self._wait(LOOK_SECS * (1 + random.random()))

    async def collect(self, secs: float) -> list[bytes]:
        """Return what there is, waiting for it up to `secs`; raises `StateUnavailable`."""
        until = asyncio.get_running_loop().time() + secs
        with self.listen():
            while True:
                self._news.clear()
                batch = await self.step()
                left = until - asyncio.get_running_loop().time()
                if batch or self.gone or self._ended or left <= 0:
                    return batch
                await self._wait(left)

    async def step(self) -> list[bytes]:
        """Return what can be had without waiting; raises `StateUnavailable`."""
        found = await self._feeds.after(self._feed, self.seq, limit=PAGE)
        batch = []
        for entry in found:
            batch.append(self._renderer.notification(entry))
            self.seq = entry.seq
            if self.on_entry is not None:
                self.on_entry(entry)
        if len(found) == PAGE:
            self._news.set()
            return batch
        batch += self._signals
        self._signals.clear()
        return batch

    def end(self) -> None:
        """Let `collect` return with what it has."""
        self._ended = True
        self._news.set()

    def _wake_in(self, secs: float) -> None:
        asyncio.get_running_loop().call_later(secs, self._news.set)

    async def _wait(self, secs: float) -> None:
        try:
            async with asyncio.timeout(secs):
                await self._news.wait()
        except TimeoutError:
            return
