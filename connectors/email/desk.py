"""What a connection asks of its listener, and what aiosmtpd asks in between."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Protocol

from connectors.email import replies
from connectors.email.config import ListenerConfig
from connectors.email.delivery import Mail, Outcome
from connectors.secrets import Secret


class Client(Protocol):
    """A connection, as its listener sees it."""

    @property
    def peer(self) -> str:
        """The client's IP address; empty on a socket file."""
        ...

    def dismiss(self) -> None:
        """Say goodbye and close."""
        ...


class Desk(Protocol):
    """A listener."""

    config: ListenerConfig
    hostname: str
    tls: ssl.SSLContext | None
    require_tls: bool
    require_auth: bool
    users: Mapping[str, Secret]

    def admit(self, connection: Client, peer: str) -> str | None:
        """Count a connection in; returns the refusal where there is no place for it."""
        ...

    def leave(self, connection: Client, peer: str) -> None:
        """Count an admitted connection out."""
        ...

    def begin_mail(self, peer: str) -> bool:
        """Count a mail; false where the client has sent too many."""
        ...

    def locked(self, peer: str) -> bool:
        """Tell whether the client has tried too many passwords."""
        ...

    def login_failed(self, peer: str) -> None:
        """Count a wrong password."""
        ...

    def refusal(self, recipient: str) -> str | None:
        """Say why a recipient is not accepted."""
        ...

    def reserve(self, count: int) -> bool:
        """Take (or with a negative number give back) room for bytes of mails being received."""
        ...

    async def deliver(self, mail: Mail, recipients: list[str]) -> list[Outcome]:
        """Hand a mail to the channels of its recipients; returns what became of it for each recipient."""
        ...


class Hooks:
    """What aiosmtpd calls."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def handle_MAIL(  # noqa: N802 -- aiosmtpd's name
        self, server: Client, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Begin a mail, unless the client has sent too many."""
        if not session.authenticated and not self._desk.begin_mail(server.peer):
            return replies.TOO_MANY_MAILS
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return replies.SENDER_OK

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, _server: Client, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Accept or refuse a recipient at once."""
        if len(envelope.rcpt_tos) >= self._desk.config.max_recipients:
            return replies.TOO_MANY_RECIPIENTS
        refusal = self._desk.refusal(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or replies.RECIPIENT_OK

    async def handle_exception(self, error: Exception) -> str:
        """Answer what nobody foresaw."""
        return replies.FAILED
