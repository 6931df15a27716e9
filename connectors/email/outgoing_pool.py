"""Connections to the mail server that takes our mails: opened when needed, used again, closed with QUIT."""

from __future__ import annotations

import asyncio
import platform
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException

from connectors.email.oauth import OAuth
from connectors.email.outgoing_config import OutgoingConfig
from connectors.email.outgoing_errors import of_connection
from connectors.errors import Misconfigured

QUIT_SECS = 2.0
CHECK_SECS = 10.0
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


class _Line:
    """A connection, and how long it has been used."""

    __slots__ = ("mails", "since", "smtp")

    def __init__(self, smtp: SMTP) -> None:
        self.smtp, self.mails, self.since = smtp, 0, 0.0


class Pool:
    """At most `max_connections`; kept between mails only while `run` runs."""

    def __init__(
        self, config: OutgoingConfig, *, oauth: OAuth | None = None, steady: Callable[[], float] = time.monotonic
    ) -> None:
        """Connect to nothing yet; `oauth` gives access tokens, instead of the password."""
        self._config, self._oauth, self._steady = config, oauth, steady
        self._slots = asyncio.Semaphore(config.max_connections)
        self._idle: list[_Line] = []
        self._context: ssl.SSLContext | None = None
        self._keeping = False
        self.opened = 0

    async def run(self) -> None:
        """Keep connections between mails until cancelled; those nobody uses for `idle_secs` are closed."""
        self._keeping = True
        try:
            while True:
                await asyncio.sleep(self._config.idle_secs / 2)
                now = self._steady()
                old = [line for line in self._idle if now - line.since >= self._config.idle_secs]
                self._idle = [line for line in self._idle if line not in old]
                await self._quit(old)
        finally:
            self._keeping = False
            lines, self._idle = self._idle, []
            await self._quit(lines)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[SMTP]:
        """Lend a connection that is ready for MAIL; after an error that is not the server's answer it is closed.

        Raises:
            Unreachable: the server is not there, or not ready.
            Misconfigured: TLS or the login fail for good.
        """
        async with self._slots:
            line = await self._take()
            try:
                yield line.smtp
            except BaseException as exc:
                if not isinstance(exc, Exception) or not line.smtp.is_connected:
                    line.smtp.close()  # in the middle of something
                    raise
                await self._give_back(line)
                raise
            await self._give_back(line)

    async def _take(self) -> _Line:
        while self._idle:
            line = self._idle.pop()  # the one used last is the one most likely alive
            with suppress(SMTPException, OSError):
                await line.smtp.rset(timeout=CHECK_SECS)
                return line
            line.smtp.close()
        return _Line(await self._connect())

    async def _give_back(self, line: _Line) -> None:
        line.mails += 1
        if not line.smtp.is_connected:
            return
        if not self._keeping or line.mails >= self._config.mails_per_connection:
            await self._quit([line])
            return
        line.since = self._steady()
        self._idle.append(line)

    async def _connect(self) -> SMTP:
        config = self._config
        smtp = SMTP(
            hostname=config.host,
            port=config.port,
            use_tls=config.security == "implicit",
            start_tls=config.security == "starttls",
            tls_context=await self._tls(),
            local_hostname=config.hostname or _own_name(),
            timeout=config.timeout_secs,
        )
        try:
            async with asyncio.timeout(config.connect_timeout_secs):
                await smtp.connect()
                await self._login(smtp)
        except (SMTPException, OSError) as exc:  # TimeoutError is one
            smtp.close()
            raise of_connection(exc, config.host) from None
        except BaseException:
            smtp.close()
            raise
        self.opened += 1
        return smtp

    async def _login(self, smtp: SMTP) -> None:
        config = self._config
        if smtp.is_ehlo_or_helo_needed:
            await smtp.ehlo()
        if config.user is None:
            return
        if self._oauth is not None:
            await _login_by_token(smtp, config.user, self._oauth)
        elif config.password is not None:
            await smtp.login(config.user, config.password.reveal())

    async def _tls(self) -> ssl.SSLContext | None:
        if self._config.security == "none":
            return None
        if self._context is None:
            self._context = await asyncio.to_thread(_client_context, self._config.tls_ca)
        return self._context

    async def _quit(self, lines: list[_Line]) -> None:
        for line in lines:
            with suppress(SMTPException, OSError):
                await line.smtp.quit(timeout=QUIT_SECS)
            line.smtp.close()


async def _login_by_token(smtp: SMTP, user: str, oauth: OAuth) -> None:
    """Log in; a token that the server does not take any more is replaced once."""
    token = await oauth.token()
    try:
        await smtp.auth_xoauth2(user, token)
    except SMTPAuthenticationError:
        oauth.refuse(token)
        await smtp.auth_xoauth2(user, await oauth.token())


def _client_context(ca: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as exc:
        raise Misconfigured(f"cannot use the certificates in {ca}: {exc.strerror or 'no PEM'}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _own_name() -> str:
    name = platform.node()
    return name if _HOST.fullmatch(name) else "localhost"
