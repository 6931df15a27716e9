"""A proxy that stops the conversation at a word, so that a test can kill somebody exactly there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal


class Tripwire:
    """Passes bytes between clients and a server, until a word comes that it waits for; that is not passed on."""

    def __init__(self, target_port: int) -> None:
        """Stand before a loopback port."""
        self._target = target_port
        self._word: bytes | None = None
        self._side: Literal["client", "server"] = "client"
        self._left = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self.tripped = asyncio.Event()
        self.port = 0

    def arm(self, side: Literal["client", "server"], word: bytes, *, times: int = 1) -> None:
        """Trip when `side` says `word` for the n-th time."""
        self._side, self._word, self._left = side, word, times
        self.tripped.clear()

    def disarm(self) -> None:
        """Cut all connections and pass everything from now on."""
        self._word = None
        self.tripped.clear()
        for writer in list(self._writers):
            writer.transport.abort()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Tripwire]:
        """Listen while the context is open."""
        server = await asyncio.start_server(self._serve_one, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.disarm()
            await asyncio.sleep(0)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                upstream, downstream = await asyncio.open_connection("127.0.0.1", self._target)
                writers.append(downstream)
                self._writers.add(downstream)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass("client", reader, downstream))
                    group.create_task(self._pass("server", upstream, writer))
        finally:
            for one in writers:
                self._writers.discard(one)
                one.transport.abort()

    async def _pass(self, side: str, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                if self.tripped.is_set():
                    return
                if side == self._side and self._word is not None and self._word in data:
                    self._left -= 1
                    if self._left == 0:
                        self.tripped.set()
                        return
                target.write(data)
                await target.drain()
            target.close()
