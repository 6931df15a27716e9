"""The kind ``email``: mail received by SMTP."""

from __future__ import annotations

from typing import Any

from connectors.api import Capabilities, Context, Sent, Sink
from connectors.email.backstop import Backstop
from connectors.email.config import EmailConfig, SmtpConfig
from connectors.email.delivery import Inbox
from connectors.email.keys import load_tokens
from connectors.email.listener import serve
from connectors.email.trust import Trust
from connectors.errors import Misconfigured
from connectors.registry import connector
from normalizer.codecs.email import EmailCodec
from normalizer.raw import Outbound

__all__ = ["EmailChannel", "EmailConfig", "SmtpConfig"]

CAPABILITIES = Capabilities(
    receives=("message.received", "message.status", "receipt.read"),
    notes=(
        "receives by SMTP; a mail is answered 250 once it is durable, 451 otherwise",
        "does not send: there is no `outgoing` yet",
    ),
)


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
        self.codec = EmailCodec(self._tokens)

    async def run(self, sink: Sink) -> None:
        """Take mail until cancelled; deliveries under way get `smtp.drain_secs` to end."""
        if self._config.smtp is not None:
            await serve(self._context.hub, self._config, self._config.smtp, self._inbox(sink))

    def _inbox(self, sink: Sink) -> Inbox:
        return Inbox(self._context, sink, self._trust, self._backstop)

    async def send(self, message: Outbound) -> Sent:
        """Refuse: this channel has no way out."""
        raise Misconfigured(f"channel {self._context.channel.id!r} has no `outgoing`: it receives mail and sends none")

    async def verify(self) -> dict[str, Any]:
        """Describe what is received where; there is no provider to ask."""
        smtp = self._config.smtp
        if smtp is None:
            return {"addresses": list(self._config.addresses)}
        return {"listen": smtp.listen, "addresses": list(self._config.addresses), "starttls": smtp.tls_cert is not None}
