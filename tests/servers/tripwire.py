"""A proxy that stops the conversation at a word, so that a test can kill somebody exactly there."""

from __future__ import annotations

import asyncio

from tests.servers.proxy import Side, TcpProxy


class Tripwire(TcpProxy):
    """Passes bytes between clients and a server, until a word comes that it waits for; that is not passed on."""

    def __init__(self, target_port: int) -> None:
        """Stand before a loopback port."""
        super().__init__(target_port)
        self._word: bytes | None = None
        self._side: Side = "client"
        self._left = 0
        self.tripped = asyncio.Event()

    def arm(self, side: Side, word: bytes, *, times: int = 1) -> None:
        """Trip when `side` says `word` for the n-th time."""
        self._side, self._word, self._left = side, word, times
        self.tripped.clear()

    def disarm(self) -> None:
        """Cut all connections and pass everything from now on."""
        self._word = None
        self.tripped.clear()
        self.reset()

    def passes(self, side: Side, data: bytes) -> bool:
        """See `TcpProxy`; trips where it is time."""
        if self.tripped.is_set():
            return False
        if side == self._side and self._word is not None and self._word in data:
            self._left -= 1
            if self._left == 0:
                self.tripped.set()
        return not self.tripped.is_set()
