"""A TCP proxy that stands for a bad network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, Self

_CHUNK = 65_536
Side = Literal["client", "server"]
"""Who says something."""


class TcpProxy:
    """Passes bytes between loopback clients and one target, until told to misbehave.

    `cut` resets every connection and refuses new ones, `stall` keeps them open and passes nothing (packets lost, no
    reset: what a pulled cable looks like), `resume` ends both. Counts what it has seen.
    """

    def __init__(self, target_port: int, target_host: str = "127.0.0.1") -> None:
        """Prepare a proxy to a target; `serve` runs it."""
        self._target = (target_host, target_port)
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.connections = 0
        """Connections accepted so far."""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Self]:
        """Listen on a free port (`port`) while the context is open."""
        server = await asyncio.start_server(self._serve_one, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self._reset_all()
            self._open.set()
            await server.wait_closed()

    def cut(self) -> None:
        """Reset all connections; new ones are reset at once until `resume`."""
        self._refusing = True
        self._reset_all()

    def reset(self) -> None:
        """Reset all connections once; new ones work."""
        self._reset_all()

    def stall(self) -> None:
        """Pass nothing in either direction until `resume`; connections stay open, and new ones are accepted."""
        self._open.clear()

    def resume(self) -> None:
        """Work normally again; what was stalled is passed on."""
        self._refusing = False
        self._open.set()

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with self._owned(writer), contextlib.suppress(OSError):
            if self._refusing:
                return
            upstream, downstream = await asyncio.open_connection(*self._target)
            with self._owned(downstream):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass("client", reader, downstream))
                    group.create_task(self._pass("server", upstream, writer))

    @contextlib.contextmanager
    def _owned(self, writer: asyncio.StreamWriter):
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    def passes(self, side: Side, data: bytes) -> bool:
        """Tell whether what `side` said is passed on; if not, nothing more from it is."""
        return True

    async def _pass(self, side: Side, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                await self._open.wait()
                if not self.passes(side, data):
                    return
                target.write(data)
                await target.drain()
            if target.can_write_eof():
                target.write_eof()
