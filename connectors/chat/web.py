"""The HTTP side of a chat, below ``/chat/<channel>/``: calls, long polling, files, and what a page loads.

Whatever can be refused is refused before its body is read: pages of other sites, tokens, sizes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import msgspec

from connectors.api import Delivery, Reply
from connectors.chat import desk as calls
from connectors.chat.config import ChatConfig
from connectors.chat.desk import Desk
from connectors.chat.entries import fleeting
from connectors.chat.faults import PASSING, Unauthentic, busy, throttled
from connectors.chat.files import Files, Unfit
from connectors.chat.follower import Follower
from connectors.chat.front import UNKNOWN, Front
from connectors.chat.kit import Kit
from connectors.chat.limits import Rates
from connectors.chat.origins import Origins, cors, preflight
from connectors.chat.session import Session
from connectors.chat.site import Site
from connectors.pages import Admitted
from normalizer import rpc
from normalizer.codecs.chat_types import SEQ_MAX, Upto
from normalizer.rpc import Request, RpcError

JSON = "application/json"
UPLOAD_SECS = 120.0
_STATUS = {
    rpc.PARSE_ERROR: 400,
    rpc.INVALID_REQUEST: 400,
    rpc.THROTTLED: 429,
    rpc.BUSY: 503,
    rpc.INTERNAL_ERROR: 500,
}
_METHODS = {"rpc": ("POST",), "poll": ("GET",), "files": ("POST", "PUT"), "config": ("GET", "HEAD")}
_Handler = Callable[[Delivery], Awaitable[Reply]]


class Web:
    """See the module.

    Attributes:
        open: polls are held.
    """

    def __init__(self, kit: Kit, desk: Desk, front: Front, files: Files, *, port: Callable[[], int | None]) -> None:
        """Serve one channel; `port` tells where its WebSocket is."""
        self._kit, self._desk, self._front, self._files, self._port = kit, desk, front, files, port
        self._config: ChatConfig = kit.config
        self._origins = Origins(kit.config.origins)
        self._site = Site(demo=kit.config.demo)
        self._uploads = Rates(kit.config.uploads_per_minute, burst=kit.config.uploads_per_minute, clock=kit.clock)
        self._polls: set[Follower] = set()
        self.open = True
        self._handlers: dict[str, _Handler] = {
            "rpc": self._call,
            "poll": self._poll,
            "files": self._upload,
            "config": self._settings,
        }

    @property
    def polls(self) -> int:
        """How many polls are held."""
        return len(self._polls)

    def dismiss(self) -> None:
        """Hold no more polls, and answer those that are held."""
        self.open = False
        for follower in list(self._polls):
            follower.end()

    def admit(self, head: Delivery) -> Admitted | Reply:
        """See `PageConnector`."""
        origin, host = head.headers.get("origin"), head.headers.get("host")
        if not self._origins.allow(origin, host):
            return Reply(status=403, body=b"this page may not open a chat (origins)")
        if head.method == "OPTIONS":
            return Reply(status=204, headers=preflight(head.headers))
        known = _METHODS.get(head.path)
        if known is None:
            return self._site.page(head)
        if head.method not in known:
            allow = {"Allow": ", ".join(known), **cors(origin)}
            return Reply(status=405, body=b"method not allowed", headers=allow)
        if head.path == "files":
            refusal = self._admit_file(head)
            return refusal or Admitted(max_bytes=self._config.upload_max_bytes, secs=UPLOAD_SECS)
        return Admitted(max_bytes=self._config.message_max_bytes)

    async def serve(self, delivery: Delivery) -> Reply:
        """See `PageConnector`."""
        try:
            reply = await self._handlers[delivery.path](delivery)
        except RpcError as exc:
            reply = _error(None, exc)
        except PASSING as exc:
            reply = _error(None, busy(exc))
        except Exception as exc:
            self._kit.context.log.exception("chat_request_failed", error=type(exc).__name__)
            reply = _error(None, RpcError(rpc.INTERNAL_ERROR, "internal error"))
        headers = {**reply.headers, **cors(delivery.headers.get("origin")), "Cache-Control": "no-store"}
        return msgspec.structs.replace(reply, headers=headers)

    def _admit_file(self, head: Delivery) -> Reply | None:
        """Look at who uploads, and how much, before anything is read."""
        try:
            self._front.glance(_token(head))
        except RpcError as exc:
            return self._refusal(head, exc)
        length = head.headers.get("content-length", "")
        if not self._config.upload_max_bytes or (length.isdigit() and int(length) > self._config.upload_max_bytes):
            text = f"larger than {self._config.upload_max_bytes} bytes".encode()
            return Reply(status=413, body=text, headers=cors(head.headers.get("origin")))
        return None

    def _refusal(self, head: Delivery, exc: RpcError) -> Reply:
        reply = _error(None, exc)
        return msgspec.structs.replace(reply, headers={**reply.headers, **cors(head.headers.get("origin"))})

    async def _enter(self, delivery: Delivery) -> Session:
        return await self._front.enter(_token(delivery), transport="poll", remote=delivery.remote or "")

    async def _call(self, delivery: Delivery) -> Reply:
        request: Request | None = None
        try:
            request = calls.parse(delivery.body)
            if request.method == "hello":
                _, answer = await self._desk.hello(request, transport="poll", remote=delivery.remote or "")
            else:
                session = None if "authorization" not in delivery.headers else await self._enter(delivery)
                answer = await self._desk.call(session, request)
        except RpcError as exc:
            return _error(None if request is None else request.id, exc)
        except PASSING as exc:
            return _error(None if request is None else request.id, busy(exc))
        body = calls.result(request, answer)
        return Reply(status=204) if body is None else Reply(body=body, content_type=JSON)

    async def _poll(self, delivery: Delivery) -> Reply:
        after = delivery.query.get("after", "0")
        if not (after.isascii() and after.isdigit() and int(after) <= SEQ_MAX):
            raise RpcError(rpc.INVALID_REQUEST, "`after` is a `seq`")
        session = await self._enter(delivery)
        wait = self._desk.rate(session)
        if wait:
            raise throttled(wait)
        follower = Follower(
            self._kit.feeds, self._kit.renderer, feed=session.feed, session=session.id, after=int(after)
        )
        hold = self._config.poll_secs if self.open and len(self._polls) < self._config.max_polls else 0.0
        self._polls.add(follower)
        try:
            batch = await self._held(follower, session, int(after), hold, delivery)
        finally:
            self._polls.discard(follower)
        if follower.gone:
            raise Unauthentic("revoked")
        return Reply(body=b"[" + b",".join(batch) + b"]", content_type=JSON)

    async def _held(
        self, follower: Follower, session: Session, after: int, hold: float, delivery: Delivery
    ) -> list[bytes]:
        """Tell the receipts of what came before, and wait for what comes."""
        async with asyncio.TaskGroup() as group:
            if after:
                group.create_task(self._desk.acknowledge(session, Upto(seq=after)))
            batch = await follower.collect(hold)
        if not self.open:
            batch.append(fleeting("reconnect", after_ms=0, reason="restart"))
        return batch

    async def _upload(self, delivery: Delivery) -> Reply:
        session = await self._enter(delivery)
        wait = self._uploads.take(session.id)
        if wait:
            raise throttled(wait)
        if not delivery.body:
            return Reply(status=400, body=b"the body is the file, and it is empty")
        try:
            answer = await self._files.take(
                session.feed,
                delivery.body,
                declared=delivery.headers.get("content-type"),
                name=delivery.query.get("name"),
            )
        except Unfit as exc:
            return Reply(status=415, body=str(exc).encode())
        return Reply(status=201, body=msgspec.json.encode(answer), content_type=JSON)

    async def _settings(self, delivery: Delivery) -> Reply:
        try:
            presence = await self._front.presence(None)
        except PASSING:
            presence = UNKNOWN
        told = {"protocol": 1, "ws": self._socket_url(delivery), "limits": self._front.limits, "presence": presence}
        return Reply(body=msgspec.json.encode(told), content_type=JSON)

    def _socket_url(self, delivery: Delivery) -> str | None:
        """Say where the WebSocket is: as configured, or at the host by which we were asked."""
        config, path = self._config, f"/chat/{self._kit.context.channel.id}/ws"
        if config.public_url is not None:
            return config.public_url.rstrip("/") + path
        port = self._port()
        try:
            host = urlsplit(f"//{delivery.headers.get('host', '')}").hostname
        except ValueError:
            host = None
        if port is None or not host:
            return None
        return f"{'wss' if config.tls_cert else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}{path}"


def _token(delivery: Delivery) -> str:
    """Return the token of a request; raises `Unauthentic`."""
    scheme, _, token = delivery.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthentic("missing")
    return token.strip()


def _error(id_: str | int | None, exc: RpcError) -> Reply:
    status = 401 if calls.refused(exc) else _STATUS.get(exc.number, 200)
    wait = exc.data.get("retry_after")
    headers = {} if wait is None else {"Retry-After": str(max(1, round(wait)))}
    return Reply(status=status, body=rpc.error(id_, exc), content_type=JSON, headers=headers)
