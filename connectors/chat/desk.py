"""Calls of a client who has said hello: read, limited, done, answered; the same for both transports.

Only so many are under way at the same time; the others wait in their order, and their connections are not read. Without
that a rush of clients would have so many calls share the process that every one of them waits for the stores longer
than those may take: all would be answered `busy`, come again, and nothing would ever be done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from msgspec import Raw

from connectors.chat.faults import HELLO_FIRST, PASSING, Unauthentic, busy, throttled
from connectors.chat.front import Front
from connectors.chat.kit import Kit
from connectors.chat.limits import Rates
from connectors.chat.reading import Reading
from connectors.chat.session import Session, Transport
from connectors.chat.talk import Answer, Talk
from normalizer import rpc
from normalizer.codecs.chat_types import CALLS, Hello, Nothing, Upto
from normalizer.rpc import Request, RpcError

WRITES = frozenset({"message.send", "message.edit", "message.delete", "transcript", "session.close"})
UNDER_WAY = 100
"""Calls of a channel in one process: more than keep a core busy, and few enough to be done within a store's timeout."""
T = TypeVar("T")
_Handler = Callable[[Session, Any, Raw], Awaitable[Answer]]


class Desk:
    """See the module."""

    def __init__(self, kit: Kit, front: Front, talk: Talk, reading: Reading) -> None:
        """Let the parts do what they are for."""
        config, self._kit, self._front, self._reading = kit.config, kit, front, reading
        self._calls = Rates(config.calls_per_minute, burst=config.calls_per_minute / 3, clock=kit.clock)
        self._writes = Rates(config.messages_per_minute, burst=config.messages_per_minute / 3, clock=kit.clock)
        self._turns = asyncio.Semaphore(UNDER_WAY)
        self._handlers: dict[str, _Handler] = {
            "message.send": talk.send,
            "message.edit": talk.edit,
            "message.delete": talk.delete,
            "typing": talk.typing,
            "session.close": talk.close,
            "ack": reading.ack,
            "read": reading.read,
            "history": reading.history,
            "transcript": reading.transcript,
            "presence": self._presence,
            "ping": self._ping,
        }

    async def hello(self, request: Request, *, transport: Transport, remote: str) -> tuple[Session, Answer]:
        """Answer ``hello``; raises `RpcError`."""
        said = _params(request, Hello)
        session, answer = await self._guarded(lambda: self._front.hello(said, transport=transport, remote=remote))
        wait = self.rate(session)
        if wait:
            raise throttled(wait)
        return session, answer

    async def call(self, session: Session | None, request: Request) -> Answer:
        """Answer any other call; raises `RpcError`."""
        handler = self._handlers.get(request.method)
        if handler is None:
            raise RpcError(rpc.METHOD_NOT_FOUND, "there is no such method")
        if session is None:
            raise RpcError(HELLO_FIRST, "say hello first")
        wait = self.rate(session)
        if not wait and request.method in WRITES:
            wait = self._writes.take(session.id)
        if wait:
            raise throttled(wait)
        said = _params(request, CALLS[request.method])
        if request.method == "ping":  # asks whether we are there, which others shall not delay
            return await handler(session, said, request.params)
        return await self._guarded(lambda: handler(session, said, request.params))

    def rate(self, session: Session) -> float:
        """Count a call; returns the seconds to wait when it is one too many."""
        return self._calls.take(session.id)

    async def acknowledge(self, session: Session, said: Upto) -> None:
        """Tell the receipts of what has arrived; where that cannot be done now, the next one does it."""
        with suppress(RpcError, *PASSING):
            await self._reading.ack(session, said, Raw(b"{}"))

    async def _guarded(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            async with self._turns:
                return await work()
        except RpcError:
            raise
        except PASSING as exc:
            raise busy(exc) from exc
        except Exception as exc:
            self._kit.context.log.exception("chat_call_failed", error=type(exc).__name__)
            raise RpcError(rpc.INTERNAL_ERROR, "internal error") from exc

    async def _presence(self, session: Session, _said: Nothing, _params: Raw) -> Answer:
        return await self._front.presence(session)

    async def _ping(self, _session: Session, _said: Nothing, _params: Raw) -> Answer:
        return {}


def refused(error: RpcError) -> bool:
    """Tell whether an error ends a connection."""
    return isinstance(error, Unauthentic)


def _params(request: Request, shape: type[rpc.T]) -> rpc.T:
    return rpc.parse_params(request.params, shape)


def parse(body: bytes | str) -> Request:
    """Read a frame or a request's body; raises `RpcError`."""
    try:
        return rpc.parse_request(body.encode() if isinstance(body, str) else body)
    except UnicodeEncodeError:
        raise RpcError(rpc.PARSE_ERROR, "not JSON") from None


def result(request: Request, answer: Answer) -> bytes | None:
    """Write an answer; a notification gets none."""
    return None if request.id is None else rpc.result(request.id, answer)
