"""The short way of a delivery: from aiohttp's parser to the channel, and back, without what aiohttp does per request.

aiohttp wakes the connection's task for each request, which makes a request object, a writer, another task and a
response: a third of all the CPU a delivery costs. Nearly every delivery needs none of it: a whole POST with a small
body on a connection that stays open, answered with a constant "200". Such a one is taken out of the parser's hands
(`gateway.web.tap`) and answered without a task, or, where something has to be waited for on its way to the pipeline,
by one. One whose head is known already is not even shown to the parser (`gateway.web.heads`).

Everything else (a body that is still coming in, a refusal, another method, HTTP/1.0, pipelined requests …) goes on to
aiohttp as if nobody had looked; so do headers that do not end and whatever is no HTTP. An answer that is no constant
is written by aiohttp as well, only the request is made up afterwards. Requests that come while one is under way wait
for it, with reading paused, and then take aiohttp's way: answers keep their order, and nobody fills the memory.

What is used of aiohttp's insides is listed in `PARTS` there; a release that has not all of it takes its own way always.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import structlog
from aiohttp import HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_request import BaseRequest
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override
from yarl import URL

from connectors.api import Reply
from gateway.web.delivery import Head, head_of
from gateway.web.heads import Heads, body_of, plain
from gateway.web.quick import Outbox, constant
from gateway.web.tap import Message, Tap, possible

log = structlog.get_logger(__name__)

Work: TypeAlias = "Callable[[Callable[[Reply], None]], Awaitable[Reply] | None]"
"""Begins with a delivery: calls what it is given with the answer, or returns what to await for it. Raises nothing."""
Take: TypeAlias = "Callable[[web.RequestHandler, Head, bytes], Work | None]"
"""Says who answers a delivery, or None where it is not for the short way."""
Respond = Callable[[BaseRequest, Reply], web.StreamResponse]

_HEAD = RawRequestMessage(
    method="POST",
    path="/",
    version=HttpVersion11,
    headers=CIMultiDictProxy(CIMultiDict()),
    raw_headers=(),
    should_close=False,
    compression=None,
    upgrade=False,
    chunked=False,
    url=URL("/"),
)
"""What aiohttp must know of a plain delivery to write its answer; its own head is not kept while it waits."""
FAILED = Reply(status=500, body=b"internal error")


class ShortWay(web.RequestHandler):
    """A connection that answers plain deliveries itself.

    Attributes:
        busy: a delivery is being answered.
        theirs: aiohttp is at a request.
        whole: every request until now came in one piece, with nothing behind it, and took the short way. The parser is
            between two requests then, and one that begins like an earlier one need not be shown to it.
    """

    __slots__ = (
        "_ending",
        "_heads",
        "_idle",
        "_late",
        "_outbox",
        "_respond",
        "_take",
        "_task",
        "busy",
        "theirs",
        "whole",
    )

    def __init__(
        self,
        manager: web.Server,
        *,
        take: Take,
        respond: Respond,
        ending: Callable[[], bool],
        idle: dict[asyncio.Protocol, None],
        heads: Heads,
        outbox: Outbox,
        **options: Any,
    ) -> None:
        """Ask `take` for each plain delivery.

        `respond` renders answers that are no constants; `ending` tells that a connection ends with its next answer;
        `idle` has the connections that are at nothing; `heads` and `outbox` are those of all connections.
        """
        super().__init__(manager, **options)
        self._take, self._respond, self._ending, self._idle = take, respond, ending, idle
        self._heads, self._outbox = heads, outbox
        self._task: asyncio.Task[None] | None = None
        self.busy = False
        self._late: list[Message] = []
        self.theirs = False
        self.whole = possible()
        if self.whole:
            self._parser: Any = Tap(self._parser, self)

    @override
    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self.whole and not (self.busy or self._close or self._force_close):
            known = self._heads.find(data)
            if known is not None and self._begin(*known):
                return
        super().data_received(data)

    def offer(self, messages: list[Message], data: bytes | None, *, upgraded: bool) -> bool:
        """Take what was parsed, or leave it to aiohttp.

        `data` is what it came in, where the parser had been between two requests before; else None.
        """
        if self.busy:
            self._late += messages
            if not self._buffer_paused:
                self._pause_reading_for_buffer()
            return True
        if upgraded or len(messages) > 1 or self.theirs or self._messages or self._reading_paused:
            return False
        message, payload = messages[0]
        if self._close or not plain(message, payload):
            return False
        head = head_of(message)
        if not self._begin(head, body_of(payload)):
            return False
        self._parser.taken()
        if data is not None and not message.chunked:
            self.whole = self._heads.note(data, head, payload.total_bytes)
        return True

    def _begin(self, head: Head, body: bytes) -> bool:
        """Have a delivery answered, if somebody takes it."""
        work = self._take(self, head, body)
        if work is None:
            return False
        self._request_in_progress = self.busy = True
        self._idle.pop(self, None)
        waits = work(self._answer)
        if waits is not None:
            self._task = self._loop.create_task(self._wait(waits))
        return True

    async def _wait(self, answer: Awaitable[Reply]) -> None:
        try:
            reply = await answer
        except asyncio.CancelledError:
            self._answered()
            raise
        except Exception:
            log.exception("request_failed")
            reply = FAILED
        self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        """Have the answer to the delivery under way written; raises nothing, its caller has other things to do."""
        transport = self.transport
        try:
            if transport is not None:
                fast = None if self._close or self._ending() else constant(reply, transport)
                if fast is None:
                    self._task = self._loop.create_task(self._formally(reply))
                else:
                    self._outbox.put(self._write, fast)
                return
        except Exception:
            log.exception("request_failed")
            self.force_close()
        self._answered()

    def _write(self, answer: bytes) -> None:
        """Write a constant answer; raises nothing."""
        try:
            if self.transport is not None:
                self.transport.write(answer)
        except Exception:
            log.exception("request_failed")
            self.force_close()
        self._answered()

    async def _formally(self, reply: Reply) -> None:
        """Let aiohttp write an answer."""
        try:
            await self._respond_to(reply)
        except Exception:
            log.exception("request_failed")
            self.force_close()
        finally:
            self._answered()

    async def _respond_to(self, reply: Reply) -> None:
        task, factory = asyncio.current_task(), self._request_factory
        if self.transport is None or task is None or factory is None:
            return
        request = factory(_HEAD, EMPTY_PAYLOAD, self, StreamWriter(self, self._loop), task)
        response = self._respond(request, reply)
        if self._ending():
            response.force_close()
        _, gone = await self.finish_response(request, response, None)
        if not gone and not response.keep_alive:
            self.close()
            self.force_close()

    def _answered(self) -> None:
        self._request_in_progress = self.busy = False
        self._task = None
        if self.transport is not None:
            self._idle[self] = None
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if self._late:
            self._messages.extend(self._late)
            self._late = []
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        if isinstance(self._parser, Tap) and self._parser.fault is not None:
            self.data_received(b"")
        if self._close:
            self.force_close()

    @override
    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer; from now on the next request may go the short way."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self.theirs = False

    @override
    def _process_keepalive(self) -> None:
        """Close the connection when it has been idle for long; while a delivery is answered, it is not."""
        if self.busy:
            self._keepalive_handle = self._loop.call_later(self._keepalive_timeout, self._process_keepalive)
        else:
            super()._process_keepalive()
