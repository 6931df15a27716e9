"""Mail channels that send, without the rest of the gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from connectors.api import Receipt, Sent
from connectors.email import EmailChannel, EmailConfig, OutgoingConfig, SmtpConfig
from connectors.email.outgoing import Outgoing
from connectors.secrets import Secret
from dedup.embedded import EmbeddedDeduplicator
from normalizer import ids
from normalizer.model import Address, ChannelRef
from normalizer.parts import AnyPart, Text
from normalizer.raw import Event, Outbound, RawEvent
from tests.contexts import make_context
from tests.servers.mailroom import Mailroom

CHANNEL = ChannelRef(id="support", type="email")
ANN, SHOP = "ann@example.net", "support@shop.example"


class Inbox:
    """A sink that decodes what it takes as the gateway does."""

    def __init__(self, channel: EmailChannel) -> None:
        self.channel = channel
        self.events: list[Event] = []
        self.arrived = asyncio.Event()

    async def __call__(self, raw: RawEvent) -> Receipt:
        self.events += [one for one in self.channel.codec.decode(raw) if isinstance(one, Event)]
        self.arrived.set()
        return Receipt.ACCEPTED

    async def next(self, count: int = 1) -> list[Event]:
        """Wait for so many events, and return all."""
        async with asyncio.timeout(10):
            while len(self.events) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return self.events


class PostOffice:
    """Makes channels; those that run stop with the test."""

    def __init__(self, folder: Path, http: aiohttp.ClientSession, store: EmbeddedDeduplicator) -> None:
        self.folder, self.http, self.store = folder, http, store
        self.hub: dict[str, Any] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._count = 0

    def config(
        self, room: Mailroom | int, *, smtp: bool = False, own: tuple[str, ...] = (SHOP,), **options: Any
    ) -> EmailConfig:
        """Build the options."""
        port = room if isinstance(room, int) else room.port
        made = {"host": "127.0.0.1", "port": port, "tls": "none", "sender": f"Shop <{SHOP}>", **options}
        listen = SmtpConfig(listen="127.0.0.1:0", hostname="mx.shop.example", settle_secs=0.0) if smtp else None
        return EmailConfig(
            addresses=own, smtp=listen, outgoing=OutgoingConfig(**made), signing_key=Secret("a-signing-key-of-tests")
        )

    def channel(self, room: Mailroom | int, **options: Any) -> EmailChannel:
        """Make a channel that sends to `room`, or to a port."""
        context = make_context(CHANNEL, self.folder, self.http, store=self.store, hub=self.hub)
        return EmailChannel(self.config(room, **options), context)

    async def start(self, channel: EmailChannel) -> Inbox:
        """Run a channel, and wait until it receives, if it does at all."""
        inbox = Inbox(channel)
        task = asyncio.get_running_loop().create_task(channel.run(inbox))
        self._tasks.append(task)
        async with asyncio.timeout(20):
            while channel._config.smtp is not None and not self._listens():
                assert not task.done(), "the channel ended"
                await asyncio.sleep(0.005)
        return inbox

    def _listens(self) -> bool:
        try:
            return bool(self.port)
        except (KeyError, RuntimeError):  # no listener yet, or one without a socket
            return False

    @property
    def port(self) -> int:
        """Where the running channel receives."""
        port: int = self.hub["smtp:127.0.0.1:0"].port
        return port

    async def close(self) -> None:
        """Stop everything."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def message(self, *parts: AnyPart | str, to: str = ANN, key: str | None = None, **fields: Any) -> Outbound:
        """Make a message as the gateway does."""
        self._count += 1
        native = key or f"message {self._count}"
        return Outbound(
            id=ids.message_id(CHANNEL.id, "gateway:out", native),
            channel=CHANNEL,
            to=Address(scheme="mailto", value=to),
            parts=tuple(Text(body=one) if isinstance(one, str) else one for one in parts or ("It is on its way.",)),
            **{"conversation": ids.conversation_id(CHANNEL.id, to), **fields},
        )


def outgoing_of(channel: EmailChannel) -> Outgoing:
    """Reach the sending half."""
    outgoing = channel._outgoing
    assert outgoing is not None
    return outgoing


def as_json(sent: Sent) -> Any:
    """Show what is told of a sent message."""
    return msgspec.to_builtins(sent)
