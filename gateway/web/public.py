"""The server that providers deliver to: ``/c/<channel>``, and whatever else the app mounts (``/media/``).

aiohttp's low-level server is used instead of its router: channels come and go while it runs, and a delivery costs one
dictionary look-up. Bodies are read once, within limits of size and time; headers that do not come in time close the
connection (slow loris); a client never sees a traceback.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web_request import BaseRequest

from connectors.api import Delivery, HttpConnector, Reply
from gateway.settings.model import HttpSection
from gateway.web.address import bind, client_address, parse_networks

log = structlog.get_logger(__name__)

Mount = Callable[[Delivery], Awaitable[Reply]]
PREFIX = "/c/"
ALLOWED = frozenset({"GET", "POST", "HEAD"})


class Endpoint:
    """What stands behind ``/c/<channel>`` at this moment."""

    __slots__ = ("connector", "max_bytes")

    def __init__(self, connector: HttpConnector, max_bytes: int) -> None:
        """Take the connector and the size limit of its deliveries."""
        self.connector, self.max_bytes = connector, max_bytes


class PublicServer:
    """See the module. `endpoints` belongs to the app, which changes it at a reload."""

    def __init__(self, section: HttpSection, endpoints: Mapping[str, Endpoint], mounts: Mapping[str, Mount]) -> None:
        """Serve `endpoints` under ``/c/`` and `mounts` under their own prefixes."""
        self._section, self._endpoints, self._mounts = section, endpoints, mounts
        self._trusted = parse_networks(section.trusted_proxies)
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self.address = section.listen

    async def start(self, *, reuse_port: bool = False, sock: socket.socket | None = None) -> None:
        """Listen; raises `OSError` with the address in its text."""
        loop = asyncio.get_running_loop()
        self._server = web.Server(
            self._handle,
            access_log=None,
            keepalive_timeout=self._section.header_timeout_secs,
            lingering_time=2.0,
            max_line_size=8190,
            max_field_size=8190,
        )
        sock = sock or bind(self._section.listen, reuse_port=reuse_port)
        self._listener = await loop.create_server(self._connect, sock=sock, backlog=1024)
        host, port = sock.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _connect(self) -> asyncio.Protocol:
        if self._server is None:
            raise RuntimeError("the server is not started")
        return self._server()

    def stop_listening(self) -> None:
        """Take no new connections; those that are open go on."""
        if self._listener is not None:
            self._listener.close()

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109 -- handed to aiohttp
        """Let requests under way finish, at most `timeout` seconds, then close every connection."""
        self.stop_listening()
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(timeout)

    async def _handle(self, request: BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        try:
            if path.startswith(PREFIX):
                channel, _, rest = path[len(PREFIX) :].partition("/")
                endpoint = self._endpoints.get(channel)
                if endpoint is None:
                    return await self._refuse(request, 404, "unknown channel")
                return await self._serve(request, endpoint.connector.handle, endpoint.max_bytes, rest)
            for prefix, mount in self._mounts.items():
                if path.startswith(prefix):
                    return await self._serve(request, mount, 65_536, path[len(prefix) :])
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            log.exception("request_failed", path=path[:80])
            return web.Response(status=500, text="internal error")
        return await self._refuse(request, 404, "not found")

    async def _serve(self, request: BaseRequest, handle: Mount, max_bytes: int, rest: str) -> web.StreamResponse:
        if request.method not in ALLOWED:
            return await self._refuse(request, 405, "method not allowed")
        if (request.content_length or 0) > max_bytes:
            return await self._refuse(request, 413, f"larger than {max_bytes} bytes")
        body = b""
        if request.can_read_body:
            try:
                body = await self._read(request, max_bytes)
            except (TimeoutError, BadHttpMessage, web.RequestPayloadError, web.HTTPRequestEntityTooLarge) as exc:
                status = {"TimeoutError": 408, "HTTPRequestEntityTooLarge": 413}.get(type(exc).__name__, 400)
                return await self._refuse(request, status, "the body was too slow, too large or broken")
        reply = await handle(
            Delivery(
                method=request.method,
                path=rest,
                url=str(request.rel_url),
                query=dict(request.rel_url.query) if request.rel_url.raw_query_string else {},
                headers={name.lower(): value for name, value in request.headers.items()},
                body=body,
                remote=client_address(request, self._trusted),
            )
        )
        return web.Response(
            status=reply.status, body=reply.body, content_type=reply.content_type, headers=reply.headers or None
        )

    async def _read(self, request: BaseRequest, max_bytes: int) -> bytes:
        content = request.content
        if content.is_eof() and content.total_bytes <= max_bytes:  # arrived with its headers: the usual case
            return content.read_nowait()
        chunks, size = [], 0
        async with asyncio.timeout(self._section.body_timeout_secs):
            async for chunk in content.iter_any():
                size += len(chunk)
                if size > max_bytes:
                    raise web.HTTPRequestEntityTooLarge(max_size=max_bytes, actual_size=size)
                chunks.append(chunk)
        return b"".join(chunks)

    @staticmethod
    async def _refuse(request: BaseRequest, status: int, text: str) -> web.Response:
        response = web.Response(status=status, text=text)
        if request.can_read_body:
            response.force_close()  # the rest of a body nobody wants is not read
            with suppress(Exception):
                await response.prepare(request)
        return response


def default_pages() -> dict[str, str]:
    """Name what the public port serves, for the start-up lines."""
    return {"deliveries": f"{PREFIX}<channel>"}
