"""The WebSocket port, shared by all chat channels that name it."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

from typing_extensions import override
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from connectors.addresses import client_address, parse_networks
from connectors.chat.config import ChatConfig
from connectors.chat.limits import Places, client_of
from connectors.chat.origins import Origins
from connectors.descriptors import DESCRIPTORS
from connectors.errors import Misconfigured

SUBPROTOCOL = Subprotocol("omnigate.chat.1")
OPEN_SECS, CLOSE_SECS = 10.0, 2.0
SPARE = 256
"""Connections beyond `max_connections` that may be in their handshake, to be told that there is no room."""
QUEUE = 4
"""Frames of a client that wait here; then its connection is not read."""
BACKLOG = 1024
AWAY_MS = 3000
"""Over how much time clients that are sent away shall spread their return."""
DISMISS_SECS = 3.0

_DEFLATE = ServerPerMessageDeflateFactory(
    # Without context an idle connection keeps no compressor, which would take more memory than all the rest of it.
    server_no_context_takeover=True,
    client_no_context_takeover=True,
    server_max_window_bits=12,
    compress_settings={"memLevel": 5},
)
# What hostile clients do is no news; what our own code does wrong is logged where it happens.
_log = logging.getLogger("connectors.chat.websockets")
_log.setLevel(logging.CRITICAL)


class Client(Protocol):
    """A connection that is served."""

    async def serve(self) -> None:
        """Serve it until it is closed."""
        ...

    async def dismiss(self, after_ms: int) -> None:
        """Send the client elsewhere, and close."""
        ...


class Member:
    """A channel at a listener."""

    def __init__(self, channel: str, config: ChatConfig, make: Callable[[ServerConnection, str], Client]) -> None:
        """Join with the options of a channel; `make` begins to serve a connection, with the client's address."""
        self.channel, self.config, self.make = channel, config, make
        self.origins = Origins(config.origins)
        self.trusted = parse_networks(config.trusted_proxies)
        self.clients: set[Client] = set()
        self.open = True

    async def dismiss(self) -> None:
        """Take no more clients, and send those who are here elsewhere."""
        self.open = False
        async with asyncio.TaskGroup() as group:
            for client in list(self.clients):
                group.create_task(client.dismiss(random.randrange(AWAY_MS)))


class _Connection(ServerConnection):
    """A connection that is cut off at once when there are far too many.

    Attributes:
        most: how many are too many.
        leave: gives its place back.
    """

    most = 0
    leave: Callable[[], None] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self.server.handler_tasks) > self.most and isinstance(transport, asyncio.Transport):
            transport.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.leave is not None:
            self.leave()
            self.leave = None


class Listener:
    """Owns its port while it has members.

    Attributes:
        room: connections it takes: `max_connections`, or fewer where the process may not open so many files.
    """

    def __init__(self, config: ChatConfig) -> None:
        """Nothing is opened yet."""
        self.lock = asyncio.Lock()
        self._shared = config.port_options
        self._config = config
        self._members: dict[str, Member] = {}
        self._server: Server | None = None
        self.room = config.max_connections
        self._places = Places(self.room, config.max_connections_per_ip)

    @property
    def port(self) -> int:
        """The port in use."""
        if self._server is None:
            raise RuntimeError("the listener is closed")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return self._places.total

    async def join(self, member: Member) -> None:
        """Add a channel, opening the port for the first; raises `Misconfigured`."""
        async with self.lock:
            if self._members and member.config.port_options != self._shared:
                raise Misconfigured(
                    f"the chat channels listening on {self._config.listen} must have the same TLS, `max_connections`,"
                    " `max_connections_per_ip`, `ping_secs` and `compression`"
                )
            if not self._members:
                self._configure(member.config)
                self._server = await self._open(member.config)
            self._members[member.channel] = member

    async def part(self, member: Member) -> None:
        """Remove a channel, and close the port after the last."""
        async with self.lock:
            if self._members.get(member.channel) is member:
                del self._members[member.channel]
            try:
                async with asyncio.timeout(DISMISS_SECS):
                    await member.dismiss()
            except TimeoutError:
                pass
            finally:  # also when whoever waits for it has no more patience
                server = self._close()
            if server is not None:
                await server.wait_closed()

    def _close(self) -> Server | None:
        if self._members or self._server is None:
            return None
        server, self._server = self._server, None
        DESCRIPTORS.release(self._config.listen)
        server.close(code=CloseCode.SERVICE_RESTART)
        return server

    def _configure(self, config: ChatConfig) -> None:
        self._config, self._shared = config, config.port_options
        self.room = max(1, DESCRIPTORS.reserve(config.listen, config.max_connections + SPARE) - SPARE)
        self._places = Places(self.room, config.max_connections_per_ip)

    async def _open(self, config: ChatConfig) -> Server:
        host, _, port = config.listen.rpartition(":")
        connection = type("Connection", (_Connection,), {"most": self.room + SPARE})
        try:
            return await serve(
                self._handle,
                host.strip("[]") or None,
                int(port),
                process_request=self._admit,
                select_subprotocol=_subprotocol,
                compression=None,
                extensions=[_DEFLATE] if config.compression else None,
                create_connection=connection,
                server_header="omnigate",
                open_timeout=OPEN_SECS,
                close_timeout=CLOSE_SECS,
                ping_interval=config.ping_secs,
                ping_timeout=config.ping_secs,
                max_size=config.message_max_bytes,
                max_queue=QUEUE,
                logger=_log,
                ssl=_tls(config),
                reuse_port=True,
                backlog=BACKLOG,
            )
        except OSError as exc:
            raise Misconfigured(f"cannot listen on {config.listen}: {exc.strerror or exc}") from exc

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Look at a handshake; returns the refusal."""
        path = request.path.partition("?")[0]
        parts = path.split("/")
        member = self._members.get(parts[2]) if len(parts) == 4 and parts[1] == "chat" and parts[3] == "ws" else None
        if member is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "there is no such chat\n")
        if not member.origins.allow(_one(request, "Origin"), _one(request, "Host")):
            return connection.respond(HTTPStatus.FORBIDDEN, "this page may not open a chat (origins)\n")
        if not member.open:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "restarting\n")
        client = client_of(remote_of(connection, request, member))
        status = self._places.take(client)
        if status:
            return connection.respond(status, "too many connections\n")
        if isinstance(connection, _Connection):
            connection.leave = partial(self._places.leave, client)
        connection.protocol.max_message_size = member.config.message_max_bytes
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        request = connection.request
        if request is None:
            return
        member = self._members.get(request.path.partition("?")[0].split("/")[2])
        if member is None or not member.open:
            await connection.close(CloseCode.SERVICE_RESTART)
            return
        client = member.make(connection, remote_of(connection, request, member) or "")
        member.clients.add(client)
        try:
            await client.serve()
        except ConnectionClosed:
            pass
        finally:
            member.clients.discard(client)


def _one(request: Request, name: str) -> str | None:
    """Return a header; of one that came twice, which no browser does, something that no list has."""
    found = request.headers.get_all(name)
    return None if not found else found[0] if len(found) == 1 else "twice:"


def remote_of(connection: ServerConnection, request: Request, member: Member) -> str | None:
    """Return the client's address, by trusted proxies where there are any."""
    peer: Any = connection.remote_address
    lines = request.headers.get_all("X-Forwarded-For") if member.trusted else ()
    return client_address(peer[0] if peer else None, lines, member.trusted)


def _subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _tls(config: ChatConfig) -> ssl.SSLContext | None:
    """Load the certificate, TLS 1.2 or newer; None without one. Raises `Misconfigured` that names the files."""
    if config.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as exc:
        files = " and ".join(filter(None, (config.tls_cert, config.tls_key)))
        raise Misconfigured(f"cannot use the certificate in {files}: {exc.strerror or exc}") from exc
    return context


def listener(hub: dict[str, Any], config: ChatConfig) -> Listener:
    """Find or make the listener of a port."""
    found: Listener = hub.setdefault(f"chat:{config.listen}", None) or Listener(config)
    hub[f"chat:{config.listen}"] = found
    return found
