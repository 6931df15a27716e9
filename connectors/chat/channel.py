"""One web chat: its WebSocket port, its HTTP side, and the way back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

from connectors.api import Capabilities, Context, Delivery, Reply, Sent, Sink
from connectors.chat.config import ChatConfig
from connectors.chat.desk import Desk
from connectors.chat.files import Files
from connectors.chat.front import Front
from connectors.chat.identity import Identities
from connectors.chat.keys import load_keys
from connectors.chat.kit import Kit
from connectors.chat.limits import Rates
from connectors.chat.listener import Listener, Member, listener
from connectors.chat.outbox import Outbox
from connectors.chat.reading import Reading
from connectors.chat.socket import Socket
from connectors.chat.talk import Talk
from connectors.chat.tokens import Tokens
from connectors.chat.web import Web
from connectors.descriptors import DESCRIPTORS
from connectors.pages import Admitted
from connectors.registry import connector
from normalizer.codecs.chat import ChatCodec
from normalizer.codecs.chat_shown import CHOICES, REQUESTS, SENDABLE
from normalizer.methods import Params
from normalizer.raw import Outbound

CAPABILITIES = Capabilities(
    receives=(
        *("message.received", "message.updated", "message.deleted", "receipt.delivered", "receipt.read"),
        *("typing.started", "typing.stopped", "contact.identified", "conversation.started", "conversation.ended"),
    ),
    parts=SENDABLE,
    requests=REQUESTS,
    choices=CHOICES,
    notes=(
        "status sent means that the message is kept for the visitor, for keep_secs; receipt.delivered that he has it",
        "metadata.chat of message.send: name, role (agent, bot, system) and avatar of who writes",
        "presence.send without `to` is for all visitors of the channel",
    ),
)


@connector("chat", ChatConfig, CAPABILITIES)
class ChatChannel:
    """Web chat: a widget on the company's site, apps and mini programs, by WebSocket or long polling."""

    def __init__(
        self,
        config: ChatConfig,
        context: Context,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- tokens and entries have a time of day
    ) -> None:
        """Prepare; the port is opened by `run`. Raises `Misconfigured` for keys that are none."""
        self._config, self._context = config, context
        self._kit = Kit(config, context, clock)
        tokens = Tokens(context.channel.id, load_keys(config.token_keys, context.data_dir))
        identities = Identities(config.jwt) if config.jwt else None
        newcomers = Rates(config.sessions_per_minute_per_ip, burst=config.sessions_per_minute_per_ip, clock=clock)
        front = Front(self._kit, tokens, identities, rates=newcomers)
        files = Files(self._kit)
        self._desk = Desk(self._kit, front, Talk(self._kit, files, front), Reading(self._kit))
        self._web = Web(self._kit, self._desk, front, files, port=self.probe_port)
        self._outbox = Outbox(self._kit)
        self._listener: Listener | None = None
        self._member = Member(context.channel.id, config, self._socket)
        self._dismissed = asyncio.Event()
        self.codec = ChatCodec()

    async def run(self, sink: Sink) -> None:
        """Serve visitors until cancelled; they are sent elsewhere then."""
        self._kit.sink = sink
        self._dismissed.clear()
        self._member.open = self._web.open = True
        port = listener(self._context.hub, self._config)
        try:
            await port.join(self._member)
            self._listener = port
            self._check_room(port)
            await self._dismissed.wait()
            await self._member.dismiss()
            await asyncio.Event().wait()
        finally:
            self._kit.sink = None
            self._web.dismiss()
            self._listener = None
            await port.part(self._member)

    def dismiss(self) -> None:
        """See `Dismissible`."""
        self._dismissed.set()
        self._web.dismiss()

    def admit(self, head: Delivery) -> Admitted | Reply:
        """See `PageConnector`."""
        return self._web.admit(head)

    async def serve(self, delivery: Delivery) -> Reply:
        """See `PageConnector`."""
        return await self._web.serve(delivery)

    async def send(self, message: Outbound) -> Sent:
        """Put a message into a conversation; see `connectors.chat.outbox`."""
        return await self._outbox.send(message)

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`."""
        return await self._outbox.perform(method, params)

    async def probe(self) -> dict[str, Any]:
        """See `Prober`: where the chat is; there is no provider to ask."""
        return {"listen": self._config.listen, "port": self.probe_port(), "sessions": self.sessions}

    @property
    def sessions(self) -> dict[str, int]:
        """How many clients are connected to this process, by transport."""
        return {"ws": len(self._member.clients), "poll": self._web.polls}

    @property
    def visitors(self) -> int:
        """See `Visited`."""
        return sum(self.sessions.values())

    def probe_port(self) -> int | None:
        """Return the port of the WebSocket; None while it is not open."""
        return self._listener.port if self._listener is not None else None

    def _check_room(self, port: Listener) -> None:
        if port.room >= self._config.max_connections:
            return
        raising = f"raise the limit of open files to {DESCRIPTORS.wanted} (ulimit -n, LimitNOFILE=)"
        hint = f"{raising}, or lower `max_connections`"
        self._context.log.warning("file_limit_too_low", limit=DESCRIPTORS.limit, max_connections=port.room, hint=hint)

    def _socket(self, ws: ServerConnection, remote: str) -> Socket:
        return Socket(ws, self._kit, self._desk, remote=remote)
