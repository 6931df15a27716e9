"""The agent console at ``/chat`` of the admin port: what visitors say, the JSON-RPC message it became, and an answer.

It is for trying the gateway and for looking at it, not for a team's work. The page itself shows nothing; what it shows
it asks for with the admin token: ``GET /api/events`` streams every notification of the gateway as one line of JSON,
a copy that takes nothing from anybody (as `omnigate tail`), and answers go through ``POST /api/message.send``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

from aiohttp import web

from gateway.broker.api import BrokerUnavailable, Delivery
from gateway.web.guard import HEADERS

STATIC = Path(__file__).with_name("static")
PAGES = {"/chat": "desk.html", "/desk.js": "desk.js", "/desk.css": "desk.css"}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ALL = "v1.#"
STREAMS_MAX = 16
BEAT_SECS = 10.0
"""An empty line so often, so that who left is noticed."""
Watch = Callable[..., AbstractAsyncContextManager[AsyncIterator[Delivery]]]


async def page(request: web.Request) -> web.StreamResponse:
    """Answer a request for one of `PAGES`."""
    path = STATIC / PAGES[request.path]
    return web.Response(
        text=path.read_text(encoding="utf-8"),
        content_type=TYPES[path.suffix],
        headers={"Content-Security-Policy": POLICY},
    )


class Events:
    """Streams notifications."""

    def __init__(self, watch: Watch) -> None:
        """`watch` is `Broker.watch`."""
        self._watch = watch
        self._open: set[asyncio.Task[object]] = set()

    async def close(self, _: web.Application) -> None:
        """End all streams: the server is about to stop."""
        for task in self._open:
            task.cancel()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer ``GET /api/events``; ``?history=1`` begins with what the broker keeps, where it keeps anything."""
        task = asyncio.current_task()
        if len(self._open) >= STREAMS_MAX or task is None:
            return web.Response(status=503, text="503: too many streams\n", headers={"Retry-After": "5"})
        self._open.add(task)
        answer: web.StreamResponse = web.Response(
            status=503, text="503: the broker is away\n", headers={"Retry-After": "1"}
        )
        try:
            async with AsyncExitStack() as stack:
                events = await self._enter(stack, history="history" in request.query)
                answer = web.StreamResponse(headers={**HEADERS, "Content-Type": "application/x-ndjson"})
                await answer.prepare(request)
                await _copy(events, answer)
        except* (BrokerUnavailable, ConnectionError):
            pass  # the page asks again
        finally:
            self._open.discard(task)
        return answer

    async def _enter(self, stack: AsyncExitStack, *, history: bool) -> AsyncIterator[Delivery]:
        try:
            return await stack.enter_async_context(self._watch(ALL, from_start=history))
        except ValueError:  # this broker keeps no history
            return await stack.enter_async_context(self._watch(ALL))


async def _copy(events: AsyncIterator[Delivery], response: web.StreamResponse) -> None:
    async def beat() -> None:
        while True:
            await response.write(b"\n")
            await asyncio.sleep(BEAT_SECS)

    async with asyncio.TaskGroup() as group:
        group.create_task(beat())
        async for event in events:
            await response.write(event.body.replace(b"\n", b" ") + b"\n")
