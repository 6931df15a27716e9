"""A mail server of the other side (aiosmtpd): takes what it is told to take, keeps it, and sends real bounces."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import warnings
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "support", "an-outgoing-password"
HOST = "mx.example.net"


@dataclass
class Taken:
    """A mail as received."""

    sender: str
    recipients: list[str]
    body: bytes
    tls: bool
    login: bool
    options: list[str] = field(default_factory=list)

    @property
    def mail(self) -> EmailMessage:
        made = message_from_bytes(self.body, policy=policy.SMTP)
        assert isinstance(made, EmailMessage)
        return made


class Mailroom:
    """One server on a loopback port.

    Attributes:
        mails: taken with 250, in order.
        answers: what to say instead of 250 to ``MAIL``, ``RCPT <address>`` or ``DATA``; several are used one after the
            other, and None is a 250.
        connections: ever made.
        access_tokens: good for a login by XOAUTH2.
        drop: end the connection when a mail is complete, so many times, before (or after) keeping it.
    """

    def __init__(self) -> None:
        self.mails: list[Taken] = []
        self.answers: dict[str, list[str | None]] = {}
        self.connections = self.commands = 0
        self.quits = 0
        self.drop = 0
        self.access_tokens: set[str] = set()
        self.keep_dropped = True
        self.arrived = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @asynccontextmanager
    async def open(
        self, *, tls: ssl.SSLContext | None = None, implicit: bool = False, login: bool = False, **options: Any
    ) -> AsyncIterator[Mailroom]:
        """Listen; `options` are `utf8` (SMTPUTF8) and `size`, in bytes."""
        protocols: list[SMTP] = []

        def connected() -> SMTP:
            self.connections += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # logins without TLS, on the loopback
                protocols.append(self._protocol(tls=None if implicit else tls, login=login, options=options))
            return protocols[-1]

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(connected, "127.0.0.1", 0, ssl=tls if implicit else None)
        try:
            yield self
        finally:
            self._server.close()
            for one in protocols:
                _abort(one.transport)
            await asyncio.sleep(0)

    def cut(self) -> None:
        """Stop listening."""
        assert self._server is not None
        self._server.close()

    def answer(self, command: str, *texts: str | None) -> None:
        """Prepare answers."""
        self.answers.setdefault(command, []).extend(texts)

    def _protocol(self, *, tls: ssl.SSLContext | None, login: bool, options: dict[str, Any]) -> SMTP:
        return SMTP(
            self,
            hostname=HOST,
            tls_context=tls,
            authenticator=self._authenticate if login else None,
            auth_required=login,
            auth_require_tls=False,
            enable_SMTPUTF8=options.get("utf8", False),
            data_size_limit=options.get("size", 33_554_432),
        )

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=known, handled=known)

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        """Log in by an access token (https://developers.google.com/workspace/gmail/imap/xoauth2-protocol)."""
        fields = dict(one.partition("=")[::2] for one in b64decode(args[1]).decode().split("\1") if one)
        known = fields["user"] == USER and fields["auth"].removeprefix("Bearer ") in self.access_tokens
        if not known:
            refusal = b64encode(b'{"status":"400","schemes":"Bearer"}').decode()
            await server.push(f"334 {refusal}")
            await server._reader.readline()
        return AuthResult(success=known, handled=known)

    def _scripted(self, command: str) -> str | None:
        waiting = self.answers.get(command)
        return waiting.pop(0) if waiting else None

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802
        if text := self._scripted("MAIL"):
            return text
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender ok"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802
        if text := self._scripted(f"RCPT {address}"):
            return text
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient ok"

    async def handle_RSET(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.commands += 1
        return self._scripted("RSET") or "250 2.0.0 Ok"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.quits += 1
        return "221 2.0.0 Bye"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if text := self._scripted("DATA"):
            return text
        taken = Taken(
            sender=envelope.mail_from or "",
            recipients=list(envelope.rcpt_tos),
            body=envelope.content if isinstance(envelope.content, bytes) else b"",
            tls=session.ssl is not None or _is_tls(server.transport),
            login=bool(session.authenticated),
            options=list(envelope.mail_options),
        )
        if self.drop:
            self.drop -= 1
            if self.keep_dropped:
                self.mails.append(taken)
            _abort(server.transport)
            await asyncio.sleep(60)  # ended by the loss of the connection
        self.mails.append(taken)
        self.arrived.set()
        return "250 2.0.0 Queued as 4711"


def _abort(transport: asyncio.BaseTransport | None) -> None:
    if transport is not None:
        cast("asyncio.Transport", transport).abort()  # uvloop's transports do not inherit from it


def _is_tls(transport: asyncio.BaseTransport | None) -> bool:
    return transport is not None and transport.get_extra_info("sslcontext") is not None


def bounce(
    taken: Taken, *, status: str = "5.1.1", reason: str = "550 5.1.1 no such user", quote: str = "header"
) -> bytes:
    """Write what Postfix writes when it gives a mail up (RFC 3464).

    Args:
        taken: the mail.
        status: enhanced status code.
        reason: the answer of the server that refused it.
        quote: the ``header`` of the mail, the ``whole`` of it, or ``nothing``.
    """
    boundary = make_msgid(domain=HOST).strip("<>")
    head = taken.body.partition(b"\r\n\r\n")[0] + b"\r\n"
    parts = [
        b"Content-Description: Notification\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        b"This is the mail system at host " + HOST.encode() + b".\r\n\r\n"
        b"I'm sorry to have to inform you that your message could not\r\n"
        b"be delivered to one or more recipients.\r\n",
        b"Content-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n"
        b"Reporting-MTA: dns; "
        + HOST.encode()
        + b"\r\nArrival-Date: "
        + formatdate().encode()
        + b"\r\n"
        + b"".join(
            f"\r\nFinal-Recipient: rfc822; {one}\r\nOriginal-Recipient: rfc822;{one}\r\nAction: failed\r\n"
            f"Status: {status}\r\nRemote-MTA: dns; {HOST}\r\nDiagnostic-Code: smtp; {reason}\r\n".encode()
            for one in taken.recipients
        ),
    ]
    if quote == "header":
        parts.append(
            b"Content-Description: Undelivered Message Headers\r\nContent-Type: text/rfc822-headers\r\n\r\n" + head
        )
    if quote == "whole":
        parts.append(b"Content-Description: Undelivered Message\r\nContent-Type: message/rfc822\r\n\r\n" + taken.body)
    line = b"\r\n--" + boundary.encode()
    return (
        (
            f"Date: {formatdate()}\r\nFrom: MAILER-DAEMON@{HOST} (Mail Delivery System)\r\n"
            f"Subject: Undelivered Mail Returned to Sender\r\nTo: {taken.sender}\r\nAuto-Submitted: auto-replied\r\n"
            "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n"
            f'\tboundary="{boundary}"\r\n'
            f"Message-Id: {make_msgid(domain=HOST)}\r\n\r\nThis is a MIME-encapsulated message.\r\n"
        ).encode()
        + b"".join(line + b"\r\n" + part for part in parts)
        + line
        + b"--\r\n"
    )


def deliver(port: int, mail: EmailMessage | bytes, to: str, *, sender: str = "") -> None:
    """Bring a mail to a server, as another server does; the null return path by default."""
    data = mail if isinstance(mail, bytes) else mail.as_bytes(policy=policy.SMTP)
    with smtplib.SMTP("127.0.0.1", port, local_hostname=HOST, timeout=20) as client:
        client.sendmail(sender, [to], data)
