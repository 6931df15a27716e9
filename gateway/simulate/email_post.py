"""Simulated mails on their way: several connections, again after "try again", as mail servers do it."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Literal

from aiosmtplib import (
    SMTP,
    SMTPConnectError,
    SMTPConnectTimeoutError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
)
from cyclopts import Parameter
from typing_extensions import override

from gateway.simulate.email import DOMAIN, Mail
from gateway.simulate.report import Report
from gateway.simulate.traffic import REORDER_WINDOW

FIRST_PAUSE_SECS, LONGEST_PAUSE_SECS = 0.5, 10.0
CLOSING = 421


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where to send.

    Attributes:
        listen: host:port, or ``unix:/path``.
        tls: how it begins; the certificate is not checked, as between mail servers.
        lmtp: speak LMTP (RFC 2033).
        user: log in with this name; with an empty one not at all.
        password: of the user.
    """

    listen: str
    tls: Literal["none", "starttls", "implicit"] = "none"
    lmtp: bool = False
    user: str = ""
    password: str = ""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How it is sent.

    Attributes:
        rate: mails per second; 0 is as fast as it goes.
        connections: at the same time, each with one mail after the other.
        attempts: of one mail before it is given up, after 4yz and lost connections.
        duplicates: how often each mail is sent again although it was accepted; 0.1 is one in ten.
        reorder: let neighbouring mails change places.
        timeout_secs: how long to wait for an answer.
    """

    rate: float = 0.0
    connections: int = 1
    attempts: int = 8
    duplicates: float = 0.0
    reorder: Annotated[bool, Parameter(negative=())] = False
    timeout_secs: float = 60.0


@dataclass(kw_only=True)
class MailReport(Report):
    """What became of the mails; `statuses` are the last replies of the server.

    Attributes:
        reason: what the server said to the last mail it did not take.
    """

    reason: str = ""

    @override
    def hints(self) -> list[str]:
        return [f"the server said: {self.reason}"] if self.reason else []


class Lmtp(SMTP):
    """LMTP, which greets with another word; the answer to the data is one for each recipient."""

    @override
    async def execute_command(self, *args: bytes, **options: Any) -> Any:
        return await super().execute_command(*((b"LHLO", *args[1:]) if args[0] == b"EHLO" else args), **options)


async def deliver(
    server: Server, mails: Iterable[Mail], pace: Pace, *, progress: Callable[[Report], None] = lambda _: None
) -> MailReport:
    """Send all of it, and report; raises nothing for what the server answers."""
    report, began = MailReport(), time.monotonic()
    lanes = max(pace.connections, 1)
    queue: asyncio.Queue[Mail | None] = asyncio.Queue(lanes)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(lanes):
            tasks.create_task(Lane(server, pace, report, progress).run(queue))
        for index, mail in enumerate(_copies(server, mails, pace)):
            if pace.rate > 0:
                await asyncio.sleep(began + index / pace.rate - time.monotonic())
            await queue.put(mail)
        for _ in range(lanes):
            await queue.put(None)
    report.seconds = time.monotonic() - began
    return report


def _copies(server: Server, mails: Iterable[Mail], pace: Pace) -> Iterator[Mail]:
    source = iter(mails)
    while window := list(islice(source, REORDER_WINDOW if pace.reorder else 1)):
        copies = [copy for one in window for copy in _repeated(server, one, pace)]
        if pace.reorder:
            random.shuffle(copies)
        yield from copies


def _repeated(server: Server, mail: Mail, pace: Pace) -> Iterator[Mail]:
    whole, share = divmod(max(pace.duplicates, 0.0), 1)
    for _ in range(1 + int(whole) + (random.random() < share)):
        if server.lmtp:  # one answer to read
            yield from (Mail(name=mail.name, sender=mail.sender, to=(one,), body=mail.body) for one in mail.to)
        else:
            yield mail


class Lane:
    """One connection after the other, each kept while the server keeps it."""

    def __init__(self, server: Server, pace: Pace, report: MailReport, progress: Callable[[Report], None]) -> None:
        self._server, self._pace, self._report, self._progress = server, pace, report, progress
        self._smtp: SMTP | None = None

    async def run(self, queue: asyncio.Queue[Mail | None]) -> None:
        """Send what comes until the queue says that there is no more."""
        try:
            while (mail := await queue.get()) is not None:
                accepted = await self._send(mail)
                self._report.sent += 1
                self._report.accepted += accepted
                self._report.failed += not accepted
                if accepted:
                    self._report.names.append(mail.name)
                self._progress(self._report)
        finally:
            await self._leave()

    async def _send(self, mail: Mail) -> bool:
        for attempt in range(self._pace.attempts):
            if attempt:
                self._report.retried += 1
                pause = min(FIRST_PAUSE_SECS * 2 ** min(attempt - 1, 16), LONGEST_PAUSE_SECS)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            began = time.monotonic()
            code, words = await self._try(mail)
            self._report.statuses[code] += 1
            if code:
                self._report.latencies.append(time.monotonic() - began)
            if 200 <= code < 300:
                return True
            self._report.reason = f"{code} {words}" if code else words
            if code >= 500:
                return False
        return False

    async def _try(self, mail: Mail) -> tuple[int, str]:
        """Send a mail; returns the reply that counts, with code 0 where there was none."""
        try:
            smtp = await self._connected()
            return await _transact(smtp, mail)
        except SMTPRecipientRefused as exc:
            return exc.code, exc.message
        except SMTPResponseException as exc:
            if exc.code == CLOSING:
                self._drop()
            return exc.code, exc.message
        except (SMTPException, OSError) as exc:
            self._drop()
            return 0, _explain(exc, self._server)

    async def _connected(self) -> SMTP:
        if self._smtp is None or not self._smtp.is_connected:
            self._smtp = _client(self._server, self._pace.timeout_secs)
            await self._smtp.connect()
            if self._server.user:
                await self._smtp.login(self._server.user, self._server.password)
        return self._smtp

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    async def _leave(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is None or not smtp.is_connected:
            return
        transport = smtp.transport
        try:
            await smtp.quit(timeout=1)
        except (SMTPException, OSError):
            smtp.close()
        if isinstance(transport, asyncio.Transport):
            transport.abort()  # one with TLS would wait for the server, and outlive the loop
            await asyncio.sleep(0)


def _client(server: Server, timeout: float) -> SMTP:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, _, port = server.listen.rpartition(":")
    unix = server.listen.startswith("unix:")
    where = {"socket_path": port} if unix else {"hostname": host.strip("[]"), "port": int(port)}
    made: Any = Lmtp if server.lmtp else SMTP
    client: SMTP = made(
        **where,
        local_hostname=f"mx.{DOMAIN}",
        use_tls=server.tls == "implicit",
        start_tls=server.tls == "starttls",
        tls_context=None if server.tls == "none" else context,
        timeout=timeout,
    )
    return client


async def _transact(smtp: SMTP, mail: Mail) -> tuple[int, str]:
    """Perform RFC 5321 §3.3; recipients that are refused while others are not count once the mail is over."""
    if smtp.is_ehlo_or_helo_needed:
        await smtp.ehlo()
    international = not all(map(str.isascii, (mail.sender, *mail.to)))
    options = ["SMTPUTF8"] if international else []
    options += [f"SIZE={len(mail.body)}"] if smtp.supports_extension("size") else []
    refused: SMTPResponseException | None = None
    taken = 0
    try:
        await smtp.mail(mail.sender, options=options, encoding="utf-8")
        for one in mail.to:
            try:
                await smtp.rcpt(one, encoding="utf-8")
                taken += 1
            except SMTPResponseException as exc:
                refused = exc
        if refused is not None and not taken:
            raise refused
        answer = await smtp.data(mail.body)
    except SMTPResponseException as exc:
        if smtp.is_connected and exc.code != CLOSING:
            await smtp.rset()
        raise
    return (refused.code, refused.message) if refused is not None else (answer.code, answer.message)


def _explain(exc: Exception, server: Server) -> str:
    if isinstance(exc, SMTPConnectError | SMTPConnectTimeoutError | FileNotFoundError):
        return f"nobody answers at {server.listen} ({exc}); is the gateway running?"
    if isinstance(exc, SMTPServerDisconnected):
        return f"the connection was lost: {exc}"
    return str(exc) or type(exc).__name__
