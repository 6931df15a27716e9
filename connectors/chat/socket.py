"""One WebSocket: calls in their order, notifications in between."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from connectors.chat import desk as calls
from connectors.chat.desk import Desk
from connectors.chat.entries import ENDED, MESSAGE, fleeting, stored
from connectors.chat.follower import Follower
from connectors.chat.kit import Kit
from connectors.chat.session import Session
from connectors.feeds import FeedEntry
from normalizer import rpc
from normalizer.rpc import Request, RpcError

HELLO_SECS = 10.0
WRITE_SECS = 15.0
"""How long a client may take to read what is under way to it."""
CLOSE_SECS = 2.0
FAULTS_MAX = 10
"""Frames in a row that are no request."""
REFUSALS_MAX = 100
"""Calls in a row that come too fast."""
_FAULTS = frozenset({rpc.PARSE_ERROR, rpc.INVALID_REQUEST, rpc.METHOD_NOT_FOUND, rpc.INVALID_PARAMS})


class _Over(Exception):
    """The connection shall be closed."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        """Say why."""
        super().__init__(reason)
        self.code = code


class Socket:
    """See the module."""

    def __init__(self, ws: ServerConnection, kit: Kit, desk: Desk, *, remote: str) -> None:
        """Serve one connection."""
        self._ws, self._kit, self._desk, self._remote = ws, kit, desk, remote
        self._session: Session | None = None
        self._following: asyncio.Task[None] | None = None
        self._faults = self._refusals = 0

    async def serve(self) -> None:
        """Serve until the connection is closed, by either side."""
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    await self._read(group)
                finally:
                    self._stop_following()
        except* ConnectionClosed:
            pass
        except* _Over as exc:
            first = exc.exceptions[0]
            if isinstance(first, _Over):
                await self._close(first.code, str(first))

    async def dismiss(self, after_ms: int) -> None:
        """Send the client elsewhere."""
        try:
            async with asyncio.timeout(1.0):
                await self._ws.send(fleeting("reconnect", after_ms=after_ms, reason="restart"), text=True)
        except (TimeoutError, ConnectionClosed):
            pass
        await self._close(CloseCode.SERVICE_RESTART, "restart")

    async def _close(self, code: CloseCode, reason: str) -> None:
        """Close; a client that reads nothing does not read this either, and is cut off."""
        try:
            async with asyncio.timeout(CLOSE_SECS):
                await self._ws.close(code, reason)
        except TimeoutError:
            self._ws.transport.abort()

    async def _read(self, group: asyncio.TaskGroup) -> None:
        try:
            async with asyncio.timeout(HELLO_SECS) as patience:
                async for frame in self._ws:
                    if isinstance(frame, bytes):
                        raise _Over(CloseCode.UNSUPPORTED_DATA, "text frames only")
                    await self._take(frame, group)
                    if self._session is not None:
                        patience.reschedule(None)
        except TimeoutError:
            raise _Over(CloseCode.POLICY_VIOLATION, "no hello in time") from None

    async def _take(self, frame: str, group: asyncio.TaskGroup) -> None:
        request: Request | None = None
        try:
            request = calls.parse(frame)
            if request.method == "hello":
                await self._hello(request, group)
            else:
                await self._answer(calls.result(request, await self._desk.call(self._session, request)))
            self._faults = self._refusals = 0
        except RpcError as exc:
            if request is None or request.id is not None:
                await self._answer(rpc.error(None if request is None else request.id, exc))
            self._count(exc)

    def _count(self, error: RpcError) -> None:
        """Close on who is not authentic, floods, or speaks nonsense."""
        if calls.refused(error):
            raise _Over(CloseCode.POLICY_VIOLATION, str(error))
        self._faults = self._faults + 1 if error.number in _FAULTS else 0
        self._refusals = self._refusals + 1 if error.number == rpc.THROTTLED else 0
        if self._faults >= FAULTS_MAX or self._refusals >= REFUSALS_MAX:
            raise _Over(CloseCode.POLICY_VIOLATION, "too many errors")

    async def _hello(self, request: Request, group: asyncio.TaskGroup) -> None:
        session, answer = await self._desk.hello(request, transport="ws", remote=self._remote)
        self._stop_following()
        self._session = session
        await self._answer(calls.result(request, answer))
        follower = Follower(
            self._kit.feeds, self._kit.renderer, feed=session.feed, session=session.id, after=session.seq or 0
        )
        follower.on_entry = self._moved
        self._following = group.create_task(self._follow(follower))

    async def _follow(self, follower: Follower) -> None:
        await follower.run(self._answer)
        raise _Over(CloseCode.POLICY_VIOLATION, "revoked")

    def _moved(self, entry: FeedEntry) -> None:
        """Take note of what the client has now."""
        session, method = self._session, stored(entry).method
        if session is not None:
            session.seq = entry.seq
            session.said = {MESSAGE: True, ENDED: False}.get(method, session.said)

    def _stop_following(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None

    async def _answer(self, frame: bytes | None) -> None:
        if frame is None:
            return
        try:
            async with asyncio.timeout(WRITE_SECS):
                await self._ws.send(frame, text=True)
        except TimeoutError:
            raise _Over(CloseCode.TRY_AGAIN_LATER, "reads too slowly") from None
