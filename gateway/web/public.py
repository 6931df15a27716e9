"""The server that providers deliver to: ``/c/<channel>``, the pages of channels (``/chat/<channel>/``), and whatever
else the app mounts (``/media/``).

aiohttp's low-level server is used instead of its router: channels come and go while it runs, and a delivery costs one
dictionary look-up. Bodies are read once, within limits of size, time and all bodies together; headers that do not come
in time close the connection (slow loris); a client never sees a traceback.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web_request import BaseRequest
from msgspec.structs import replace

from connectors.addresses import parse_networks
from connectors.api import Delivery, HttpConnector, QuickConnector, Reply
from connectors.pages import PageConnector
from gateway.settings.model import HttpSection
from gateway.web.address import BACKLOG, bind
from gateway.web.delivery import PREFIX, Head, Headers, address, delivery
from gateway.web.direct import Work
from gateway.web.door import Door, Shared
from gateway.web.protocol import Connections, hide_versions
from gateway.web.quick import Quick, quick
from gateway.web.streamed import Streamed, send

log = structlog.get_logger(__name__)

Mount = Callable[[Delivery], Awaitable[Reply | Streamed]]
PAGES = "/chat/"
ALLOWED = frozenset({"GET", "POST", "HEAD"})
PAGE_METHODS = ALLOWED | {"OPTIONS", "PUT"}
MOUNT_BYTES = 65_536
BUFFERED_MAX = 268_435_456
"""Bytes of bodies that are being received, all together; nothing is known about their senders yet."""
LINGER_SECS = 2.0
"""How long the rest of a refused body is thrown away, so that its sender reads the answer instead of a reset."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Endpoint:
    """What stands behind ``/c/<channel>`` at this moment."""

    __slots__ = ("begin", "connector", "max_bytes")

    def __init__(self, connector: HttpConnector, max_bytes: int) -> None:
        """Take the connector and the size limit of its deliveries."""
        self.connector, self.max_bytes = connector, max_bytes
        self.begin: Callable[[Delivery, Callable[[Reply], None]], Awaitable[Reply] | None]
        self.begin = (
            connector.begin if isinstance(connector, QuickConnector) else lambda told, _: connector.handle(told)
        )


class RefusedRequest(Exception):
    """A request that reaches no connector."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        """Answer it with `status`, one line of `text` and `headers`."""
        super().__init__(text)
        self.status, self.headers = status, headers


class PublicServer:
    """See the module. `endpoints` belongs to the app, which changes it at a reload."""

    def __init__(
        self,
        section: HttpSection,
        endpoints: Mapping[str, Endpoint],
        mounts: Mapping[str, Mount],
        *,
        pages: Mapping[str, PageConnector] | None = None,
        shared: Shared | None = None,
    ) -> None:
        """Serve `endpoints` under ``/c/``, `pages` under ``/chat/`` and `mounts` under their own prefixes.

        With `shared` the address is one that several workers listen on.
        """
        self._section, self._endpoints, self._mounts = section, endpoints, mounts
        self._pages = {} if pages is None else pages
        self._trusted = parse_networks(section.trusted_proxies)
        self._shared = shared
        self._socket: socket.socket | None = None
        self._listener: asyncio.Server | Door | None = None
        self._buffered = 0
        self._ending = False
        self.address = section.listen

    def bind(self) -> socket.socket:
        """Take the address, let clients wait; raises `OSError` with the address in its text."""
        self._socket = bind(self._section.listen) if self._shared is None else self._shared.sock
        host, port = self._socket.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self._socket

    async def start(self) -> None:
        """Serve, on the address that was bound before or else is now; raises `OSError` with the address in its text."""
        sock = self._socket or self.bind()
        hide_versions()
        self._server = Connections(
            self._handle,
            take=self._take,
            respond=self._response,
            limit=self._section.max_connections,
            access_log=None,
            keepalive_timeout=self._section.header_timeout_secs,
            lingering_time=LINGER_SECS,
            max_line_size=8190,
            max_field_size=8190,
        )
        if self._shared is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(self._server.accept, sock=sock, backlog=BACKLOG)
        else:
            self._listener = Door(self._shared, self._server.accept, lambda: self._server.open)
            self._server.changed = self._listener.tell

    def stop_listening(self) -> None:
        """Take no new connections; those that are open end with their next answer."""
        self._ending = True
        if self._listener is not None:
            self._server.ending = True
            self._listener.close()
        elif self._socket is not None:
            self._socket.close()

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109 -- handed to aiohttp
        """Let requests under way finish, at most `timeout` seconds, then close every connection."""
        self.stop_listening()
        if self._listener is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(timeout)

    def _take(self, connection: web.RequestHandler, head: Head, body: bytes) -> Work | None:
        """Say who answers a plain delivery; see `gateway.web.direct`."""
        endpoint = self._endpoints.get(head.channel)
        if self._ending or endpoint is None or len(body) > endpoint.max_bytes:
            return None
        peer = connection.peername
        told = delivery(
            head,
            body,
            str(peer[0]) if isinstance(peer, tuple) else peer,
            trusted=self._trusted,
            connected=lambda: connection.transport is not None,
        )
        return partial(endpoint.begin, told)

    async def _handle(self, request: BaseRequest) -> web.StreamResponse:
        protocol, idle = request.protocol, self._server.idle
        idle.pop(protocol, None)
        try:
            response = await self._answer(request)
        finally:
            if protocol.transport is not None:
                idle[protocol] = None
        if self._ending and not isinstance(response, Quick):
            response.force_close()
        return response

    async def _answer(self, request: BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        try:
            if path.startswith(PREFIX):
                channel, rest, _ = address(path)
                body = await self._body(request, self._endpoint(channel).max_bytes)
                # Looked up again: a reload may have replaced it while a slow body came in.
                return await self._serve(request, self._endpoint(channel).connector.handle, rest, body)
            if path.startswith(PAGES):
                return await self._page(request, *path[len(PAGES) :].partition("/")[::2])
            for prefix, mount in self._mounts.items():
                if path.startswith(prefix):
                    return await self._serve(
                        request, mount, path[len(prefix) :], await self._body(request, MOUNT_BYTES)
                    )
        except RefusedRequest as exc:
            return _refusal(request, exc)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            log.exception("request_failed")
            return web.Response(status=500, text="internal error")
        return _refusal(request, RefusedRequest(404, "not found"))

    def _endpoint(self, channel: str) -> Endpoint:
        endpoint = self._endpoints.get(channel)
        if endpoint is None:
            raise RefusedRequest(404, "unknown channel")
        return endpoint

    async def _serve(self, request: BaseRequest, handle: Mount, rest: str, body: bytes) -> web.StreamResponse:
        reply = await handle(self._delivery(request, rest, body))
        return await send(request, reply) if isinstance(reply, Streamed) else self._response(request, reply)

    async def _page(self, request: BaseRequest, channel: str, rest: str) -> web.StreamResponse:
        connector = self._pages.get(channel)
        if connector is None:
            raise RefusedRequest(404, "unknown channel")
        head = self._delivery(request, rest, b"")
        admitted = connector.admit(head)
        if isinstance(admitted, Reply):
            response = self._response(request, admitted)
            if request.can_read_body:
                response.force_close()  # the rest of a body nobody wants is not read
            return response
        body = await self._body(request, admitted.max_bytes, secs=admitted.secs, methods=PAGE_METHODS)
        return self._response(request, await connector.serve(replace(head, body=body)))

    def _delivery(self, request: BaseRequest, rest: str, body: bytes) -> Delivery:
        head = Head(
            method=request.method,
            url=str(request.rel_url),
            rest=rest,
            query=dict(request.query),
            headers=Headers(request.headers),
        )
        return delivery(
            head, body, request.remote, trusted=self._trusted, connected=lambda: request.transport is not None
        )

    def _response(self, request: BaseRequest, reply: Reply) -> web.StreamResponse:
        fast = None if self._ending else quick(request, reply)
        if fast is not None:
            return fast
        mime, _, charset = reply.content_type.partition("; charset=")
        return web.Response(
            status=reply.status,
            body=reply.body,
            content_type=mime,
            charset=charset or None,
            headers=reply.headers or None,
        )

    async def _body(
        self, request: BaseRequest, max_bytes: int, *, secs: float | None = None, methods: frozenset[str] = ALLOWED
    ) -> bytes:
        """Read the body once; raises `RefusedRequest`."""
        if request.method not in methods:
            raise RefusedRequest(405, "method not allowed", {"Allow": ", ".join(sorted(methods))})
        if (request.content_length or 0) > max_bytes:
            raise RefusedRequest(413, f"larger than {max_bytes} bytes")
        if not request.can_read_body:
            return b""
        content = request.content
        try:
            if content.is_eof() and content.total_bytes <= max_bytes:  # arrived with its headers: the usual case
                return content.read_nowait()
            async with asyncio.timeout(secs or self._section.body_timeout_secs):
                return await self._receive(request, max_bytes)
        except TimeoutError:
            raise RefusedRequest(408, "the body did not come in time") from None
        except (BadHttpMessage, web.RequestPayloadError):
            raise RefusedRequest(400, "the body is broken") from None

    async def _receive(self, request: BaseRequest, max_bytes: int) -> bytes:
        if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
            await request.writer.write(CONTINUE)
            request.writer.output_size = 0  # aiohttp's mark that the answer itself has not begun
        chunks, size = [], 0
        try:
            async for chunk in request.content.iter_any():
                size += len(chunk)
                self._buffered += len(chunk)
                if size > max_bytes:
                    raise RefusedRequest(413, f"larger than {max_bytes} bytes")
                if self._buffered > BUFFERED_MAX:
                    raise RefusedRequest(503, "busy", {"Retry-After": "1"})
                chunks.append(chunk)
        finally:
            self._buffered -= size
        return b"".join(chunks)


def _refusal(request: BaseRequest, why: RefusedRequest) -> web.Response:
    response = web.Response(status=why.status, text=str(why), headers=why.headers)
    if request.can_read_body:
        response.force_close()  # the rest of a body nobody wants is not read
    return response
