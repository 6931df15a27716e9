"""A login at an IMAP server, with one folder open."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from connectors.email import imap_text as text
from connectors.email.imap_config import ImapConfig
from connectors.email.oauth import OAuth, xoauth2
from connectors.errors import Misconfigured, SendError, Throttled, Unreachable
from normalizer.errors import OmniError

if TYPE_CHECKING:
    from connectors.email.imap_protocol import Connection

CHUNK = 1_048_576
"""Bytes of a mail that are asked for at once."""
HANDLED = "$OmnigateHandled"
INSTALL = "reading mailboxes needs aioimaplib, which is not installed: pip install 'omnigate[imap]'"
_LATER = ("UNAVAILABLE", "INUSE", "LIMIT", "THROTTLED", "SERVERBUG")
"""Response codes (RFC 5530 §3) of a refusal that is not about the password."""


class NotDone(OmniError):
    """The server refuses a command, on a connection that is well; the message has its words."""

    code = "imap_refused"


@asynccontextmanager
async def login(config: ImapConfig, oauth: OAuth | None) -> AsyncIterator[Session]:
    """Connect and log in; the connection is closed at the end.

    Raises:
        Misconfigured: the server does not accept us, or aioimaplib is missing.
        Unreachable: no answer, or the server has no time for us.
    """
    session = Session(await _connect(config), config)
    try:
        await session.begin(oauth)
        yield session
    finally:
        session.close()


async def _connect(config: ImapConfig) -> Connection:
    try:
        from connectors.email.imap_protocol import Connection, fault  # noqa: PLC0415 -- GPL, an extra
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("aioimaplib"):
            raise Misconfigured(INSTALL) from None
        raise
    connection = Connection()
    where = f"{config.host}:{config.server_port}"
    try:
        greeting = await _greeting(connection, config)
    except BaseException as exc:
        connection.abort()
        if isinstance(exc, TimeoutError):
            raise Unreachable(f"{where} did not answer within {config.timeout_secs:g} s") from None
        if isinstance(exc, OSError):
            raise Unreachable(f"{where} cannot be reached: {fault(exc)}") from None
        raise
    if not greeting.startswith((b"* OK", b"* PREAUTH")):
        connection.abort()
        raise Unreachable(f"{where} does not serve us now")
    return connection


async def _greeting(connection: Connection, config: ImapConfig) -> bytes:
    tls = tls_context(config) if config.tls == "implicit" else None
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(config.timeout_secs):
        await loop.create_connection(lambda: connection, config.host, config.server_port, ssl=tls)
        return await connection.greeting


def tls_context(config: ImapConfig) -> ssl.SSLContext:
    """Trust the system's certificates, or those of `tls_ca`; raises `Misconfigured`."""
    try:
        return ssl.create_default_context(cafile=config.tls_ca)
    except (OSError, ssl.SSLError) as exc:
        raise Misconfigured(f"`imap.tls_ca` {config.tls_ca} cannot be read: {exc}") from None


class Session:
    """Commands of one login; all raise `Unreachable` when the connection is lost."""

    def __init__(self, connection: Connection, config: ImapConfig) -> None:
        """Use a new connection."""
        self._connection, self._config = connection, config
        self._secs = config.timeout_secs
        self.news = connection.news

    def close(self) -> None:
        """End the connection."""
        self._connection.abort()

    @property
    def certificate_ends(self) -> datetime | None:
        """When the server's certificate ends; None on a connection without TLS."""
        ends = (self._connection.transport.get_extra_info("peercert") or {}).get("notAfter")
        return None if ends is None else datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)

    def can(self, capability: str) -> bool:
        """Tell whether the server announced a capability."""
        return capability in self._connection.capabilities

    async def begin(self, oauth: OAuth | None) -> None:
        """Encrypt if so configured, and log in; see `login`."""
        if self._config.tls == "starttls":
            if self._connection.state != "NONAUTH":
                raise Misconfigured("the IMAP server greets without login, and so leaves no way to encrypt")
            if not await self._connection.start_tls(tls_context(self._config), self._config.host, self._secs):
                raise Misconfigured('the IMAP server offers no STARTTLS; `imap.tls = "implicit"` may be what it wants')
        await self._ask_capabilities()
        if self._connection.state == "NONAUTH":
            await (self._password() if oauth is None else self._token(oauth))
            self._connection.state = "AUTH"
            await self._ask_capabilities()
        if self.can("ID"):  # some providers refuse to serve whoever does not say who it is
            await self._connection.do("ID", '("name" "omnigate")', secs=self._secs)

    async def _ask_capabilities(self) -> None:
        result, lines = await self._connection.do("CAPABILITY", secs=self._secs)
        words = b" ".join(bytes(line) for line in lines[:-1]).decode("ascii", "replace") if result == "OK" else ""
        self._connection.capabilities = set(words.upper().split())

    async def _password(self) -> None:
        user = self._config.user
        password = self._config.password.reveal() if self._config.password else ""
        if self.can("AUTH=PLAIN"):
            response = b64encode(f"\0{user}\0{password}".encode()).decode()
            result, lines = await self._authenticate("PLAIN", response)
        elif self.can("LOGINDISABLED"):
            raise Misconfigured("the IMAP server takes no password on this connection; see `imap.tls` and `imap.oauth`")
        else:
            arguments = (text.quoted(user), text.quoted(password))
            result, lines = await self._connection.do("LOGIN", *arguments, secs=self._secs)
        if result != "OK":
            raise _refused(lines, "the IMAP server does not accept `imap.user` and `imap.password`")

    async def _token(self, oauth: OAuth) -> None:
        """Log in with an access token; one that was withdrawn before its time is replaced once."""
        if not self.can("AUTH=XOAUTH2"):
            raise Misconfigured("the IMAP server takes no access tokens (AUTH=XOAUTH2); give `imap.password` instead")
        lines: list[bytes] = []
        for _ in range(2):
            token = await oauth.token()
            result, lines = await self._authenticate("XOAUTH2", xoauth2(self._config.user, token))
            if result == "OK":
                return
            oauth.refuse(token)
        raise _refused(lines, "the IMAP server does not accept the access token for `imap.user`: check its permissions")

    async def _authenticate(self, mechanism: str, response: str) -> tuple[str, list[bytes]]:
        at_once = self.can("SASL-IR")
        return await self._connection.authenticate(mechanism, response, at_once=at_once, secs=self._secs)

    async def open(self, folder: str, *, write: bool = True) -> text.Selected:
        """Open a folder; without `write` nothing can be changed in it. Raises `Misconfigured`."""
        name = text.folder_name(folder)
        result, lines = await self._connection.do("SELECT" if write else "EXAMINE", name, secs=self._secs)
        if result != "OK":
            raise Misconfigured(f"the IMAP server does not open the folder {folder!r}: {_words(lines)}")
        self._connection.state = "SELECTED"
        found = text.selected(lines)
        if not found.validity:
            raise Misconfigured("the IMAP server gives no UIDVALIDITY: its mails cannot be told apart for good")
        if found.exists and not found.next_uid:
            highest = max(text.search_result(await self._done("SEARCH", "UID *")), default=0)
            found = replace(found, next_uid=highest + 1)
        return found

    async def search(self, first: int, last: int | None, *, without: str | None = None) -> list[int]:
        """Find the UIDs from `first` to `last` (None: the highest) whose mails lack the keyword `without`."""
        what = f"UID {first}:{last or '*'}" + (f" UNKEYWORD {without}" if without else "")
        lines = await self._done("SEARCH", what)
        return [uid for uid in text.search_result(lines) if uid >= first and (last is None or uid <= last)]

    async def sizes(self, uids: Iterable[int]) -> dict[int, int]:
        """Return the sizes of mails as the server sees them; those that are gone are left out. Raises `NotDone`."""
        return text.sizes(await self._done("FETCH", text.uid_set(uids), "(UID RFC822.SIZE)"))

    async def pieces(self, uid: int) -> AsyncIterator[bytes | bytearray]:
        """Read a mail, in pieces of at most `CHUNK` bytes, without marking it as read.

        The end is where a piece is short: what servers say about sizes is not always so. Raises `NotDone`.
        """
        offset = 0
        while True:
            piece = text.fetched(await self._done("FETCH", str(uid), f"(UID BODY.PEEK[]<{offset}.{CHUNK}>)"))
            if piece:
                yield piece
            if piece is None or len(piece) < CHUNK:
                return
            offset += len(piece)

    async def header(self, uid: int) -> bytes:
        """Read the header of a mail, at most `CHUNK` bytes of it; empty where that fails, too."""
        try:
            lines = await self._done("FETCH", str(uid), f"(UID BODY.PEEK[HEADER]<0.{CHUNK}>)")
        except NotDone:
            return b""
        return bytes(text.fetched(lines) or b"")

    async def flag(self, uids: Iterable[int], *flags: str) -> None:
        """Add flags to mails. Raises `NotDone`."""
        await self._done("STORE", text.uid_set(uids), "+FLAGS.SILENT", f"({' '.join(flags)})", untagged="FETCH")

    async def flag_to(self, last: int, flag: str) -> None:
        """Add a flag to all mails up to a UID. Raises `NotDone`."""
        await self._done("STORE", f"1:{last}", "+FLAGS.SILENT", f"({flag})", untagged="FETCH")

    async def move(self, uids: Iterable[int], folder: str) -> None:
        """Move mails into a folder, which is created when it is missing. Raises `NotDone`."""
        which, name = text.uid_set(uids), text.folder_name(folder)
        command = "MOVE" if self.can("MOVE") else "COPY"
        try:
            await self._done(command, which, name)
        except NotDone:
            await self._connection.do("CREATE", name, secs=self._secs)
            await self._done(command, which, name)
        if command == "COPY":
            await self.delete(uids)

    async def delete(self, uids: Iterable[int]) -> None:
        r"""Delete mails for good; where the server cannot do that to chosen ones they only get \Deleted.

        A plain EXPUNGE would delete what people have marked, too (RFC 4315 §2.1).
        """
        await self.flag(uids, r"\Deleted")
        if self.can("UIDPLUS"):
            await self._done("EXPUNGE", text.uid_set(uids))

    async def wait(self) -> None:
        """Wait for news, or until it is time to look anyway."""
        if self._config.idle_secs and self.can("IDLE"):
            if await self._connection.idle(self._config.idle_secs, self._secs):
                return
            self._connection.capabilities.discard("IDLE")
        try:
            async with asyncio.timeout(self._config.poll_secs):
                await self.news.wait()
        except TimeoutError:
            pass
        result, lines = await self._connection.do("NOOP", secs=self._secs)
        if result != "OK":
            raise Unreachable(f"the IMAP server refuses: {_words(lines)}")

    async def keep_alive(self) -> None:
        """Say something, so that the server does not hang up while mails wait on our side."""
        await self._connection.do("NOOP", secs=self._secs)

    async def _done(self, name: str, *arguments: str, untagged: str | None = None) -> list[bytes]:
        result, lines = await self._connection.do(name, *arguments, uid=True, secs=self._secs, untagged=untagged)
        if result != "OK":
            raise NotDone(f"the IMAP server refuses {name}: {_words(lines)}")
        return lines


def _words(lines: list[bytes]) -> str:
    text_ = bytes(lines[-1]).decode("utf-8", "replace") if lines else ""
    return "".join(char for char in text_ if char.isprintable())[:200]


def _refused(lines: list[bytes], message: str) -> SendError:
    words = _words(lines)
    if any(f"[{code}" in words.upper() for code in _LATER):
        return Throttled(f"the IMAP server accepts no login now: {words}")
    return Misconfigured(f"{message} ({words})")
