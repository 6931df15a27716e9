"""One connection to an IMAP server; the only home of aioimaplib.

aioimaplib 2.0.3 knows commands and answers. What is done otherwise here, and why: its parser calls itself once per
line (a server that reports 1 000 deletions at once ends in a `RecursionError`), it formats every byte for a debug
log, leaves commands waiting for ever when the connection is lost, cannot answer a challenge, and forgets news that
come while no IDLE is under way.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any

from aioimaplib import aioimaplib as lib
from typing_extensions import override

from connectors.errors import Unreachable

logging.getLogger(lib.__name__).setLevel(logging.CRITICAL)  # it writes what it receives into it

LINE_MAX = 16_777_216
"""Bytes of one line; the longest is the answer to a search over a million mails."""
LITERAL_MAX = 4_194_304
"""Bytes of one literal; mails are fetched in smaller pieces."""
LOST = "LOST"
_CRLF = b"\r\n"


class Idle(lib.Command):  # type: ignore[misc] # aioimaplib has no types
    """IDLE; collects nothing, because what comes is told by `Connection.news`."""

    def __init__(self, tag: str, loop: asyncio.AbstractEventLoop) -> None:
        """Have a tag."""
        super().__init__("IDLE", tag, loop=loop)
        self.started = asyncio.Event()

    @override
    def append_to_resp(self, line: bytes, result: str = "Pending") -> None:
        self._resp_result = result
        if result != "Pending":
            self.started.set()  # refused, or the connection is lost


class Connection(lib.IMAP4ClientProtocol):  # type: ignore[misc] # aioimaplib has no types
    """Sends commands one after the other and reads the answers."""

    transport: Any
    state: str
    capabilities: set[str]
    pending_sync_command: Any
    pending_async_commands: dict[str, Any]
    current_command: Any
    incomplete_line: bytes

    def __init__(self) -> None:
        """Wait for the connection; called inside the running loop."""
        self._loop = asyncio.get_running_loop()
        super().__init__(self._loop)
        self.greeting: asyncio.Future[bytes] = self._loop.create_future()
        self.news = asyncio.Event()
        """Set when mail has arrived, or when the connection is lost."""
        self.lost = False
        self._responses: list[str] = []

    @override
    def data_received(self, data: bytes) -> None:
        try:
            self._take(self.incomplete_line + data, self.current_command)
        except Exception:  # noqa: BLE001 -- nonsense from the server: nothing that follows can be trusted
            self.abort()

    @override
    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self.news.set()
        if not self.greeting.done():
            self.greeting.set_result(b"")
        commands = [self.pending_sync_command, *self.pending_async_commands.values()]
        self.pending_sync_command, self.pending_async_commands = None, {}
        for command in commands:
            if command is not None:
                command.close(b"the connection is lost", LOST)

    def abort(self) -> None:
        """Cut the connection; commands under way end as lost."""
        if self.transport is not None:
            self.transport.abort()

    @override
    def send(self, line: str, **_options: object) -> None:
        self.transport.write(line.encode() + _CRLF)

    async def do(
        self, name: str, *arguments: str, uid: bool = False, secs: float, untagged: str | None = None
    ) -> tuple[str, list[Any]]:
        """Perform a command; returns ``OK``, ``NO`` or ``BAD`` and the lines of the answer.

        Args:
            name: of the command.
            arguments: as they go over the wire.
            uid: with the prefix UID.
            secs: how long the server may be silent.
            untagged: the name under which the server answers, where that is another.

        Raises:
            Unreachable: the connection is lost, or the server is silent; the connection cannot be used any more.
        """
        fetch = name == "FETCH"
        kind = lib.FetchCommand if fetch else lib.Command
        named = (self.new_tag(), *arguments) if fetch else (name, self.new_tag(), *arguments)
        options = {"prefix": "UID" if uid else "", "untagged_resp_name": untagged, "loop": self._loop, "timeout": secs}
        try:
            if self.lost:
                raise Unreachable("the connection to the IMAP server is lost")
            response = await self.execute(kind(*named, **options))
        except lib.CommandTimeout:
            self.abort()
            raise Unreachable(f"the IMAP server did not answer {name} within {secs:g} s") from None
        except lib.AioImapException as exc:
            self.abort()
            raise Unreachable(f"the IMAP server did not keep to the protocol in {name}: {exc}") from None
        except asyncio.CancelledError:
            self.abort()  # the answer would be taken for that of the next command
            raise
        if response.result == LOST:
            raise Unreachable(f"the IMAP server closed the connection during {name}")
        return response.result, response.lines

    async def authenticate(self, mechanism: str, response: str, *, at_once: bool, secs: float) -> tuple[str, list[Any]]:
        """Perform AUTHENTICATE with one response, with the command itself where the server can (SASL-IR, RFC 4959).

        A further challenge is the server's way to say what is wrong, and gets the empty response it waits for.
        """
        self._responses = [] if at_once else [response]
        return await self.do("AUTHENTICATE", mechanism, *([response] if at_once else []), secs=secs)

    async def idle(self, secs: float, timeout_secs: float) -> bool:
        """Wait until mail arrives, at most `secs`; false where the server refuses.

        Raises:
            Unreachable: the connection is lost, or the server is silent.
        """
        command = Idle(self.new_tag(), self._loop)
        self.pending_sync_command = command
        self.send(str(command).strip())
        try:
            async with asyncio.timeout(timeout_secs):
                await command.started.wait()
            if not command._event.is_set():  # noqa: SLF001
                try:
                    async with asyncio.timeout(secs):
                        await self.news.wait()
                except TimeoutError:
                    pass  # time to look anyway
                if not self.lost:
                    self.send("DONE")
            async with asyncio.timeout(timeout_secs):
                await command.wait()
        except TimeoutError:
            self.abort()
            raise Unreachable(f"the IMAP server did not answer IDLE within {timeout_secs:g} s") from None
        except asyncio.CancelledError:
            self.abort()
            raise
        if command.response.result == LOST:
            raise Unreachable("the IMAP server closed the connection during IDLE")
        return bool(command.response.result == "OK")

    async def start_tls(self, context: ssl.SSLContext, host: str, secs: float) -> bool:
        """Perform STARTTLS; false where the server refuses. What came unencrypted before is forgotten."""
        result, _ = await self.do("STARTTLS", secs=secs)
        if result != "OK":
            return False
        self.incomplete_line, self.current_command = b"", None
        self.capabilities = set()
        try:
            self.transport = await self._loop.start_tls(
                self.transport, self, context, server_hostname=host, ssl_handshake_timeout=secs
            )
        except (OSError, TimeoutError) as exc:
            raise Unreachable(f"no TLS with the IMAP server: {fault(exc)}") from None
        return True

    def _take(self, data: bytes, command: Any) -> None:
        """Do what `_handle_responses` does, in a loop."""
        position = 0
        self.incomplete_line, self.current_command = b"", None
        while position < len(data):
            if command is not None and command.wait_literal_data():
                rest = command.append_literal_data(data[position:])
                position = len(data) - len(rest)
                if command.wait_literal_data():
                    self.current_command = command
                    return
            end = data.find(_CRLF, position)
            if end < 0:
                self._keep(data[position:], command)
                return
            line = data[position:end]
            position = end + len(_CRLF)
            command = self._after(self._handle_line(line, command), line)
        if command is not None and command.wait_data():
            self.current_command = command

    def _keep(self, line: bytes, command: Any) -> None:
        if len(line) > LINE_MAX:
            raise ValueError("a line of the server is too long")
        self.incomplete_line, self.current_command = line, command

    def _after(self, command: Any, line: bytes) -> Any:
        """Return the command that the next bytes belong to."""
        literal = lib.literal_data_re.match(line)
        if literal is not None:
            size = int(literal["size"])
            if size > LITERAL_MAX:
                raise ValueError("the server sends more than it was asked for")
            command = command if command is not None else lib.Command("NIL", "unused", loop=self._loop)
            command.begin_literal_data(size)
            return command
        return command if command is not None and command.wait_data() else None

    @override
    def _handle_line(self, line: bytes, current_cmd: Any) -> Any:
        if line and self.state == lib.CONNECTED:
            self.state = lib.AUTH if line.startswith(b"* PREAUTH") else lib.NONAUTH
            if not self.greeting.done():
                self.greeting.set_result(line)
            return None
        return super()._handle_line(line, current_cmd)

    @override
    def _untagged_response(self, line: bytes) -> Any:
        if line.endswith((b" EXISTS", b" RECENT")):
            self.news.set()
        return super()._untagged_response(line)

    @override
    def _continuation(self, line: bytes) -> None:
        command = self.pending_sync_command
        if isinstance(command, Idle):
            command.started.set()
        elif command is not None and command.name == "AUTHENTICATE":
            self.send(self._responses.pop(0) if self._responses else "")


def fault(exc: BaseException) -> str:
    """Say what went wrong on the network, in a line."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {exc.verify_message}"
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
