"""The connection below the commands; with `connectors.email.smtp` the only home of aiosmtpd.

aiosmtpd 1.4.6 reads commands; everything that decides about a mail is ours: limits, TLS by the loop's public
`start_tls` (its own works on a private class and not on uvloop), line ends, enhanced status codes (RFC 2034) on every
reply.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import defaultdict
from typing import Any

from aiosmtpd.smtp import SMTP
from typing_extensions import override

from connectors.email import auth, replies
from connectors.email.desk import Desk, Hooks
from connectors.email.ports import HANDSHAKE_SECS

logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd writes addresses and commands into it

COMMAND_MAX = 1024
_ATOM, _LABEL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PLAIN = re.compile(rf"<({_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*)> *([A-Za-z0-9=. +-]*)")
"""A path without quotes and comments, and the parameters behind it (RFC 5321 §4.1.2)."""
BARE = b"\x00\r\n"


class _Lines:
    """A stream of commands; one that ends in a bare LF, or has a CR within, is replaced by `BARE`."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self.read = stream.read
        self._stream = stream

    async def readuntil(self) -> bytes:
        line: bytes = await self._stream.readuntil(b"\n")
        return line if line.endswith(b"\r\n") and line.count(b"\r") == 1 else BARE


class Line(SMTP):
    """A client's connection without its commands."""

    session: Any  # aiosmtpd declares these as optional, though they are set while a client is served
    envelope: Any
    transport: Any
    _reader: Any
    _stream: Any
    _writer: Any
    _timeout_handle: Any
    _handler_coroutine: Any
    _tls_protocol: Any

    line_length_limit = 65_536  # of the stream's buffer; what a command may have is COMMAND_MAX

    name = "ESMTP"

    def __init__(self, desk: Desk) -> None:
        """Serve one client on behalf of `desk`; called inside the running loop."""
        self.command_size_limits: defaultdict[str, int] = defaultdict(lambda: COMMAND_MAX)  # aiosmtpd shares one
        super().__init__(
            Hooks(desk),
            data_size_limit=desk.config.max_bytes,
            enable_SMTPUTF8=True,
            hostname=desk.hostname,
            ident=self.name,
            tls_context=desk.tls,
            require_starttls=desk.require_tls,
            auth_required=desk.require_auth,
            timeout=desk.config.command_timeout_secs,
            loop=asyncio.get_running_loop(),
        )
        self.command_size_limit = COMMAND_MAX
        self.command_size_limits["AUTH"] = auth.LINE_MAX
        self._smtp_methods[BARE.decode().strip()] = self._bare_line_end
        self._desk = desk
        self._peer, self._admitted = "", False
        self._errors = 0

    @property
    def peer(self) -> str:
        """The client's IP address; empty on a socket file."""
        return self._peer

    @override
    def connection_made(self, transport: Any) -> None:
        address = transport.get_extra_info("peername")
        self._peer = address[0] if isinstance(address, tuple) else ""
        refusal = self._desk.admit(self, self._peer)
        if refusal is not None:
            transport.write(refusal.encode() + b"\r\n")
            transport.close()
            return
        self._admitted = True
        super().connection_made(transport)
        if transport.get_extra_info("ssl_object") is not None:  # TLS began with the connection
            self._encrypted(transport)

    @override
    def connection_lost(self, error: Exception | None) -> None:
        if self._admitted:
            self._admitted = False
            self._desk.leave(self, self._peer)
            super().connection_lost(error)

    @override
    def data_received(self, data: bytes) -> None:
        if self._admitted:
            super().data_received(data)

    @override
    def eof_received(self) -> bool | None:
        return bool(super().eof_received()) if self._admitted else None

    @override
    def _cb_client_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super()._cb_client_connected(reader, writer)
        self._stream = reader
        if self._desk.config.bare_lf == "refuse":
            self._reader = _Lines(reader)

    async def _bare_line_end(self, arg: str | None) -> None:
        await self.push(replies.BARE_LF_COMMAND)

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

    async def say(self, line: str) -> None:
        """Send a line as it is."""
        await super().push(line)

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
        plain = _PLAIN.fullmatch(arg)
        if plain is not None:  # nearly all are; the standard library's parser takes as long as the rest of a command
            return plain[1], plain[2]
        try:
            address, rest = super()._getaddr(arg)
        except Exception:  # noqa: BLE001 -- the standard library's address parser raises many things on bad input
            return None, None
        if address and (any(ord(char) < 33 for char in address) or not address.isprintable()):
            return None, None
        return address, rest

    async def _encrypt(self) -> None:
        """Begin TLS and forget what was said before (RFC 3207 §4.2); the connection is over if the handshake fails."""
        if self.tls_context is None:
            return
        self._stream._buffer.clear()  # noqa: SLF001 -- commands sent before the handshake are an attack
        try:
            transport: Any = await self.loop.start_tls(
                self.transport, self, self.tls_context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECS
            )
        except (OSError, TimeoutError):
            self.connection_lost(None)  # neither loop calls it after a failed handshake, which closes the connection
            return
        self.transport = self._writer._transport = self._stream._transport = transport  # noqa: SLF001
        peer, self.session = self.session.peer, self._create_session()
        self.session.peer = peer
        self.envelope = self._create_envelope()
        self._encrypted(transport)
        self._reset_timeout()

    def _encrypted(self, transport: Any) -> None:
        self.session.ssl = {"version": transport.get_extra_info("ssl_object").version()}
        self._tls_protocol = transport  # aiosmtpd's mark of an encrypted connection
