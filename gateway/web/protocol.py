"""aiohttp's HTTP protocol as an open port needs it: silent about itself, and with a limit on connections.

aiohttp 3.14 answers what is no HTTP with the offending bytes and writes a traceback of it into the log; both are left
out here. Beyond the limit the connection that has been idle longest makes room, so that clients that open connections
and send nothing (slow loris) do not keep others out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web, web_response
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web_request import BaseRequest
from typing_extensions import override

from gateway.web.direct import Respond, ShortWay, Take
from gateway.web.heads import Heads
from gateway.web.quick import Outbox

log = structlog.get_logger(__name__)

CROWDED = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def hide_versions() -> None:
    """Let the `Server` header of every answer of this process name the product and no version.

    aiohttp has no option for it; a header of our own on each response would cost each of them.
    """
    web_response.SERVER_SOFTWARE = "omnigate"  # type: ignore[attr-defined] # imported there, not exported


class Connection(ShortWay):
    """One client."""

    __slots__ = ()

    @override
    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what aiohttp could not read; what a client sent is nobody else's business, nor is our reason."""
        if request.writer.output_size > 0 or request.transport is None:
            raise ConnectionError("the client has a part of an answer already, or has gone") from exc
        if status >= 500:
            log.error("request_failed", error=type(exc).__name__, exc_info=exc)
        else:
            log.debug("bad_http", error=type(exc).__name__, remote=request.remote)
        response = web.Response(status=status, text="internal error" if status >= 500 else "bad request")
        response.force_close()
        return response

    @override
    def log_exception(self, *args: Any, **options: Any) -> None:
        """Log what went wrong outside of a request's handling; a broken body is met again while it is thrown away."""
        exc = options.get("exc_info")
        if not isinstance(exc, (web.RequestPayloadError, BadHttpMessage)):
            log.error("connection_failed", error=type(exc).__name__, exc_info=exc)


class Connections(web.Server):
    """The clients of a port.

    Attributes:
        idle: connections without a request under way, longest idle first; whoever handles requests keeps it.
        ending: connections end with their next answer.
        open: how many connections there are.
        changed: told whenever one has begun or ended, and which.
    """

    def __init__(
        self,
        handler: Callable[[BaseRequest], Awaitable[web.StreamResponse]],
        *,
        take: Take,
        respond: Respond,
        limit: int,
        **options: Any,
    ) -> None:
        """Have `handler` answer what does not go the short way (`take`, `respond`: see `gateway.web.direct`).

        `options` are those of aiohttp's `RequestHandler`.
        """
        super().__init__(handler, **options)
        self._limit, self._options = limit, {"take": take, "respond": respond, "heads": Heads(), **options}
        self._outbox = Outbox(asyncio.get_running_loop())
        self.open = 0
        self.changed: Callable[[asyncio.BaseProtocol], None] = lambda _: None
        self.idle: dict[asyncio.Protocol, None] = {}
        self.ending = False

    def accept(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        if self.open >= self._limit:
            if not self.idle:
                return Crowded()
            longest = next(iter(self.idle))
            del self.idle[longest]
            if isinstance(longest, web.RequestHandler):
                longest.force_close()
        return Connection(
            self,
            ending=lambda: self.ending,
            idle=self.idle,
            outbox=self._outbox,
            loop=asyncio.get_running_loop(),
            **self._options,
        )

    @override
    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self.open += 1
        self.idle[handler] = None
        self.changed(handler)

    @override
    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.open -= 1
        self.idle.pop(handler, None)
        self.changed(handler)


class Crowded(asyncio.Protocol):
    """Says that there is no room."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.write(CROWDED)
        transport.close()
