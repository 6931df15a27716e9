"""One SMTP connection; the only home of aiosmtpd.

aiosmtpd 1.4.6 reads commands; everything that decides about a mail is here: EHLO, STARTTLS by the loop's public
`start_tls` (its own works on a private class and not on uvloop), DATA in chunks instead of lines (its own refuses lines
above 1000 octets), limits, enhanced status codes (RFC 2034) on every reply.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import defaultdict
from typing import Any, Protocol

from aiosmtpd.smtp import SMTP
from typing_extensions import override

from connectors.email import replies
from connectors.email.config import SmtpConfig
from connectors.email.data import DataReader
from connectors.email.delivery import Mail, Outcome

logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd writes addresses and commands into it

COMMAND_MAX = 1024
HANDSHAKE_SECS = 20.0
HELO_MAX = 255
_ALL = 16_777_216  # more than a StreamReader ever holds: `read` empties it
_REPLIES = {
    Outcome.ACCEPTED: replies.ACCEPTED,
    Outcome.BUSY: replies.BUSY,
    Outcome.REFUSED: replies.NOT_UNDERSTOOD,
}


class Desk(Protocol):
    """What a connection asks of its listener."""

    config: SmtpConfig
    hostname: str
    tls: ssl.SSLContext | None

    def admit(self, connection: Connection, peer: str) -> str | None:
        """Count a connection in; returns the refusal where there is no place for it."""
        ...

    def leave(self, connection: Connection, peer: str) -> None:
        """Count an admitted connection out."""
        ...

    def refusal(self, recipient: str) -> str | None:
        """Say why a recipient is not accepted."""
        ...

    def reserve(self, count: int) -> bool:
        """Take (or with a negative number give back) room for bytes of mails being received."""
        ...

    async def deliver(self, mail: Mail, recipients: list[str]) -> Outcome:
        """Hand a mail to the channels of its recipients."""
        ...


class _Hooks:
    """What aiosmtpd calls."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, _server: SMTP, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= self._desk.config.max_recipients:
            return replies.TOO_MANY_RECIPIENTS
        refusal = self._desk.refusal(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or replies.RECIPIENT_OK

    async def handle_exception(self, error: Exception) -> str:
        return replies.FAILED


class Connection(SMTP):
    """A client's connection, from the greeting to QUIT."""

    session: Any  # aiosmtpd declares these as optional, though they are set while a client is served
    envelope: Any
    transport: Any
    _reader: Any
    _writer: Any
    _timeout_handle: Any
    _handler_coroutine: Any
    _tls_protocol: Any

    line_length_limit = 65_536  # of the stream's buffer; what a command may have is COMMAND_MAX

    def __init__(self, desk: Desk) -> None:
        """Serve one client on behalf of `desk`; called inside the running loop."""
        self.command_size_limits: defaultdict[str, int] = defaultdict(lambda: COMMAND_MAX)  # aiosmtpd shares one
        super().__init__(
            _Hooks(desk),
            data_size_limit=desk.config.max_bytes,
            enable_SMTPUTF8=True,
            hostname=desk.hostname,
            ident="ESMTP",
            tls_context=desk.tls,
            require_starttls=desk.config.require_tls,
            timeout=desk.config.command_timeout_secs,
            loop=asyncio.get_running_loop(),
        )
        self.command_size_limit = COMMAND_MAX
        self._desk = desk
        self._peer: str | None = None
        self._errors = 0

    @override
    def connection_made(self, transport: Any) -> None:
        peer = (transport.get_extra_info("peername") or ("",))[0]
        refusal = self._desk.admit(self, peer)
        if refusal is not None:
            transport.write(refusal.encode() + b"\r\n")
            transport.close()
            return
        self._peer = peer
        super().connection_made(transport)

    @override
    def connection_lost(self, error: Exception | None) -> None:
        if self._peer is not None:
            self._desk.leave(self, self._peer)
            super().connection_lost(error)

    @override
    def data_received(self, data: bytes) -> None:
        if self._peer is not None:
            super().data_received(data)

    @override
    def eof_received(self) -> bool | None:
        return bool(super().eof_received()) if self._peer is not None else None

    def dismiss(self, reply: str = replies.CLOSING) -> None:
        """Say why and close; a mail that is being transferred was not accepted, and the client knows."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size():
            transport.abort()  # a client that does not read would never let it close
            return
        transport.write(reply.encode() + b"\r\n")
        transport.close()

    @override
    def _timeout_cb(self) -> None:
        self.dismiss(replies.TIMEOUT)

    @override
    async def _handle_client(self) -> None:
        try:
            await super()._handle_client()
        except (ConnectionError, asyncio.IncompleteReadError):
            self._writer.close()  # the client went away; whatever it had begun was not accepted

    @override
    async def push(self, status: Any) -> None:
        reply = replies.enhanced(status)
        await super().push(reply)
        if replies.blames_client(reply):
            self._errors += 1
            if self._errors >= self._desk.config.max_errors:
                await super().push(replies.TOO_MANY_ERRORS)
                self._end()

    def _end(self) -> None:
        self._handler_coroutine.cancel()
        self.transport.close()

    @override
    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        try:
            address, rest = super()._getaddr(arg)
        except Exception:  # noqa: BLE001 -- the standard library's address parser raises many things on bad input
            return None, None
        if address and (any(ord(char) < 33 for char in address) or not address.isprintable()):
            return None, None
        return address, rest

    @override
    async def smtp_HELO(self, hostname: str) -> None:
        await self._greet(hostname, extended=False)

    @override
    async def smtp_EHLO(self, hostname: str) -> None:
        await self._greet(hostname, extended=True)

    async def _greet(self, hostname: str | None, *, extended: bool) -> None:
        if not hostname:
            await self.push("501 Say who you are: EHLO hostname")
            return
        self.envelope = self._create_envelope()
        self.session.extended_smtp = extended
        self.session.host_name = hostname[:HELO_MAX].encode("utf-8", "replace").decode()
        lines = [self.hostname]
        if extended:
            lines += [f"SIZE {self.data_size_limit}", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"]
            lines += ["STARTTLS"] if self.tls_context and self.session.ssl is None else []
        for line in lines[:-1]:
            await super().push(f"250-{line}")
        await super().push(f"250 {lines[-1]}")

    @override
    async def smtp_STARTTLS(self, arg: str | None) -> None:
        if arg or self.tls_context is None or self.session.ssl is not None:
            await self.push("501 STARTTLS takes no argument" if arg else "503 STARTTLS is not available here")
            return
        await self.push("220 2.0.0 Ready to start TLS")
        self._reader._buffer.clear()  # noqa: SLF001 -- commands sent before the handshake are an attack (RFC 3207 §4.2)
        try:
            transport: Any = await self.loop.start_tls(
                self.transport, self, self.tls_context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECS
            )
        except (OSError, TimeoutError):
            self._end()
            return
        self.transport = self._writer._transport = self._reader._transport = transport  # noqa: SLF001
        peer, self.session = self.session.peer, self._create_session()
        self.session.peer, self.session.ssl = peer, {"version": transport.get_extra_info("ssl_object").version()}
        self._tls_protocol = transport  # aiosmtpd's mark of an encrypted connection
        self.envelope = self._create_envelope()

    @override
    async def smtp_VRFY(self, arg: str | None) -> None:
        await self.push("252 Cannot verify, but will take mail for addresses of this server")

    @override
    async def smtp_HELP(self, arg: str | None) -> None:
        await self.push("214 See RFC 5321")

    @override
    async def smtp_AUTH(self, arg: str | None) -> None:
        await self.push("502 This server has no authentication")

    @override
    async def smtp_DATA(self, arg: str | None) -> None:
        if await self.check_helo_needed():
            return
        if arg or not self.envelope.rcpt_tos:
            await self.push("501 DATA takes no argument" if arg else "503 Give a recipient first: RCPT TO")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        self._reset_timeout(self._desk.config.data_timeout_secs)
        reader = DataReader(self._desk.config.max_bytes)
        reserved, room = 0, True
        try:
            rest = None
            while rest is None:
                chunk = await self._reader.read(_ALL)
                if not chunk:
                    return
                if not reader.too_large:
                    room = self._desk.reserve(len(chunk))
                    reserved += len(chunk) if room else 0
                    if not room:
                        reader.drop()
                rest = reader.feed(chunk)
            if rest:
                self._reader.feed_data(rest)  # pipelined commands; the buffer is empty, so the order stays
            status = await self._deliver(reader) if room else replies.NO_ROOM
        finally:
            self._desk.reserve(-reserved)
        self.envelope = self._create_envelope()
        self._reset_timeout()
        await self.push(status)

    async def _deliver(self, reader: DataReader) -> str:
        if reader.too_large:
            return replies.TOO_LARGE
        body = reader.mail()
        if body is None:
            return replies.IMITATION
        sender = self.envelope.mail_from
        mail = Mail(
            body=body,
            sender="" if sender == "<>" else sender,
            peer=self._peer or "",
            helo=self.session.host_name,
            tls=self.session.ssl["version"] if self.session.ssl else "",
        )
        self._timeout_handle.cancel()  # the pipeline has its own deadlines
        return _REPLIES[await self._desk.deliver(mail, self.envelope.rcpt_tos)]
