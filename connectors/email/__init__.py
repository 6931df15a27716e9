"""The kind ``email``: mail received by SMTP and IMAP, and sent by SMTP."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from connectors.api import Capabilities, Context, Sent, Sink
from connectors.email.backstop import Backstop
from connectors.email.config import EmailConfig, SmtpConfig
from connectors.email.delivery import Inbox
from connectors.email.imap import Mailbox
from connectors.email.imap_config import ImapConfig
from connectors.email.keys import load_tokens
from connectors.email.listener import serve
from connectors.email.outgoing import Outgoing
from connectors.email.outgoing_config import OutgoingConfig
from connectors.email.probe import probe
from connectors.email.threads import Once, Threads
from connectors.email.trust import Trust
from connectors.errors import Misconfigured
from connectors.registry import connector
from normalizer.codecs.email import EmailCodec
from normalizer.raw import Outbound

__all__ = ["EmailChannel", "EmailConfig", "OutgoingConfig", "SmtpConfig"]

CAPABILITIES = Capabilities(
    receives=("message.received", "message.status", "receipt.read"),
    parts=("text", "image", "audio", "video", "file"),
    notes=(
        "receives by SMTP and LMTP; a mail is answered 250 once it is durable, 451 otherwise",
        "reads a mailbox by IMAP; a mail is flagged, moved or deleted once it is durable",
        "sends by `outgoing`; status sent means that the mail server has taken responsibility (RFC 5321 §2.1)",
        "later reports about a sent mail become message.status failed or delivered (RFC 3464)",
    ),
)
MUTE = replace(CAPABILITIES, parts=(), notes=(*CAPABILITIES.notes[:2], "does not send: there is no `outgoing`"))
"""What a channel without `outgoing` can do."""


@connector("email", EmailConfig, CAPABILITIES)
class EmailChannel:
    """Mail: received by SMTP, on a port that several channels may share."""

    def __init__(self, config: EmailConfig, context: Context) -> None:
        """Prepare; the port is opened by `run`."""
        self._config, self._context = config, context
        self._trust = Trust(config.trust)
        self._tokens = load_tokens(config.signing_keys, context.data_dir)
        self._backstop = Backstop(
            context.state, config.answers, channel=context.channel.id, tokens=self._tokens, own=config.addresses
        )
        self._threads = Threads(context.state, context.log)
        self._reader = EmailCodec(self._tokens)
        self.codec = Once(self._reader)
        self._mailbox = self._make_mailbox(config.imap)
        self._outgoing = self._make_outgoing(config.outgoing)
        self.capabilities = CAPABILITIES if self._outgoing else MUTE

    def _make_mailbox(self, options: ImapConfig | None) -> Mailbox | None:
        if options is None:
            return None
        return Mailbox(options, self._context, addresses=self._config.addresses, max_bytes=self._config.max_bytes)

    def _make_outgoing(self, options: OutgoingConfig | None) -> Outgoing | None:
        if options is None:
            return None
        return Outgoing(
            options,
            self._context,
            tokens=self._tokens,
            threads=self._threads,
            backstop=self._backstop,
            own=self._config.addresses,
            timeout=self._config.send_timeout_secs / 2,
        )

    async def run(self, sink: Sink) -> None:
        """Take mail until cancelled; deliveries under way get `smtp.drain_secs` to end."""
        inbox = self._inbox(sink if self._outgoing is None else self._threads.watch(sink, self.codec))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(serve(self._context.hub, self._config, inbox))
                if self._mailbox is not None:
                    group.create_task(self._mailbox.run(inbox))
                if self._outgoing is not None:
                    group.create_task(self._outgoing.run())
        except BaseExceptionGroup as exc:
            raise exc.exceptions[0] from None  # what failed first, without the wrapping

    def _inbox(self, sink: Sink) -> Inbox:
        return Inbox(self._context, sink, self._trust, self._backstop, self._reader)

    async def send(self, message: Outbound) -> Sent:
        """Send a mail; see `connectors.email.outgoing`."""
        if self._outgoing is None:
            raise Misconfigured(
                f"channel {self._context.channel.id!r} has no `outgoing`: it receives mail and sends none"
            )
        return await self._outgoing.send(message)

    async def probe(self) -> dict[str, Any]:
        """See `Prober`: what is received where, and whether the servers in between let us in."""
        return await probe(self._config, self._mailbox, self._outgoing)
