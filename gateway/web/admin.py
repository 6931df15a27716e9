"""The admin port: health, metrics, console, and every request over HTTP.

===================  =======================================================================================
``/healthz``         200 while the event loop lives
``/readyz``          200 when deliveries can be accepted, else 503; JSON with the reasons in both cases
``/metrics``         Prometheus
``/``                the console; public on this port, shows no customer data (`gateway.web.console`)
``POST /api``        a JSON-RPC request, with ``Authorization: Bearer <token>``
``POST /api/<m>``    the params of method ``<m>`` alone
``POST /api/media``  a file to send (`gateway.web.upload`)
``/chat``            the agent console, and ``GET /api/events``, what it follows (`gateway.web.desk`)
===================  =======================================================================================

``/api`` answers 200 with a JSON-RPC response whenever a method was carried out, also when it failed; 400 when the body
is no request, 404 for an unknown method, 401 without the token. Requests for a provider go through the broker, so that
they are durable and in order. Every call that can change something leaves an `admin_call` line in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiohttp import web

from connectors.api import Blobs
from gateway.requests import READING, Requests
from gateway.requests_api import Control
from gateway.settings.model import AdminSection
from gateway.web import desk
from gateway.web.address import bind
from gateway.web.console import page
from gateway.web.guard import HEADERS, authorized, known_host, on_loopback
from gateway.web.protocol import hide_versions
from gateway.web.upload import Upload
from normalizer import rpc
from normalizer.methods import REQUESTS
from normalizer.rpc import Request, RpcError

log = structlog.get_logger(__name__)

MAX_BYTES = 1_048_576
CALL_SECS = 60.0
BODY_SECS = 15.0
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by orchestrators and Prometheus under names of theirs; where the port is not only local, any name will do."""
CLOSE_SECS = 5.0
KEEP_ALIVE_SECS = 75.0
"""How long a connection may be silent, before its first request, too; aiohttp's default is an hour."""
STATUS = {rpc.PARSE_ERROR: 400, rpc.INVALID_REQUEST: 400, rpc.METHOD_NOT_FOUND: 404}
Metrics = Callable[[], tuple[bytes, str]]
"""Renders all metrics; returns the text and its content type."""


class AdminServer:
    """See the module."""

    def __init__(
        self,
        section: AdminSection,
        *,
        token: str,
        control: Control,
        requests: Requests,
        metrics: Metrics,
        call_secs: float = CALL_SECS,
        blobs: Blobs | None = None,
        watch: desk.Watch | None = None,
    ) -> None:
        """Serve on `section.listen`; `token` is `gateway.web.guard.admin_token`.

        Without `blobs` it takes no files, without `watch` (`Broker.watch`) it has no agent console.
        """
        self._section, self._token, self._control, self._requests = section, token, control, requests
        self._metrics, self._call_secs = metrics, call_secs
        self._upload = None if blobs is None else Upload(blobs)
        self._events = None if watch is None else desk.Events(watch)
        self._runner: web.AppRunner | None = None
        self.address = section.listen

    async def start(self) -> None:
        """Listen; raises `OSError` that names the address."""
        sock = bind(self._section.listen)
        app = web.Application(client_max_size=MAX_BYTES, middlewares=[self._guarded])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_page)
        app.router.add_get("/", self._console)
        if self._events is not None:
            for path in desk.PAGES:
                app.router.add_get(path, desk.page)
            app.router.add_get("/api/events", self._stream)
            app.on_shutdown.append(self._events.close)
        app.router.add_post("/api", self._api)
        app.router.add_post("/api/media", self._media)
        app.router.add_post("/api/{method}", self._api)
        hide_versions()
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_SECS, keepalive_timeout=KEEP_ALIVE_SECS
        )
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()
        host, port = sock.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def close(self) -> None:
        """Stop listening, let requests under way finish."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _guarded(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        probe = request.path in PROBES and not on_loopback(self._section.listen)
        if not probe and not known_host(request.headers.get("Host"), self._section.listen):
            hint = "unknown Host header; use the address, or the name in [admin] listen\n"
            return web.Response(status=421, text=hint, headers=HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as exc:  # 404, 405, 413
            response = web.Response(status=exc.status, text=f"{exc.status}: {exc.reason}\n")
            if "Allow" in exc.headers:
                response.headers["Allow"] = exc.headers["Allow"]
        except Exception as exc:
            log.exception("admin_failed", path=request.path, error=type(exc).__name__)
            response = web.Response(status=500, text="500: internal error\n")
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        state = self._control.readiness()
        return _json(msgspec.json.encode(state), 200 if state.ready else 503)

    async def _metrics_page(self, _: web.Request) -> web.Response:
        body, content_type = self._metrics()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _console(self, _: web.Request) -> web.Response:
        return web.Response(text=page(self._control), content_type="text/html")

    def _stranger(self, request: web.Request) -> web.Response | None:
        if authorized(request.headers.get("Authorization"), self._token):
            return None
        log.warning("admin_unauthorized", remote=request.remote)
        text = "401: give the admin token: Authorization: Bearer <token>\n"
        return web.Response(status=401, text=text, headers={"WWW-Authenticate": 'Bearer realm="omnigate"'})

    async def _media(self, request: web.Request) -> web.Response:
        if self._upload is None:
            raise web.HTTPNotFound
        return self._stranger(request) or await self._upload.take(request)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self._events is None:
            raise web.HTTPNotFound
        return self._stranger(request) or await self._events.stream(request)

    async def _api(self, request: web.Request) -> web.Response:
        if (stranger := self._stranger(request)) is not None:
            return stranger
        try:
            async with asyncio.timeout(BODY_SECS):
                body = await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        try:
            asked = _read(body, request.match_info.get("method"))
        except RpcError as exc:
            return _json(rpc.error(None, exc), STATUS[exc.number])
        answer = await self._requests.call(asked, timeout=self._call_secs)
        error = rpc.parse_response(answer).error
        code = error.code if isinstance(error, rpc.ErrorObject) else 0
        if asked.method not in READING:
            method = asked.method if asked.method in REQUESTS else "unknown"
            outcome = rpc.ERROR_NAMES.get(code, "error") if code else "ok"
            log.info("admin_call", method=method, remote=request.remote, outcome=outcome)
        return _json(answer, STATUS.get(code, 200))


def _read(body: bytes, method: str | None) -> Request:
    """Read a JSON-RPC request, or the params of `method`; raises `RpcError`."""
    if method is None:
        if body.lstrip()[:1] == b"[":
            raise RpcError(rpc.INVALID_REQUEST, "batches are not supported; send one request at a time")
        request = rpc.parse_request(body)
        if request.id is None:
            raise RpcError(rpc.INVALID_REQUEST, "give an `id`: over HTTP every request is answered")
        return request
    params = body.strip() or b"{}"
    try:
        msgspec.json.decode(params, type=dict)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise RpcError(rpc.PARSE_ERROR, "the body must be a JSON object, the params of the method") from None
    return Request(jsonrpc="2.0", method=method, id=1, params=msgspec.Raw(params))


def _json(body: bytes, status: int) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
