"""Mailboxes at work in the test's own loop: a real Dovecot on one side, the real pipeline on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from connectors.api import Receipt
from connectors.email import EmailChannel, EmailConfig
from connectors.email.imap_config import ImapConfig
from connectors.secrets import Secret
from dedup.api import Deduplicator
from normalizer.codecs.email import EmailCodec
from normalizer.raw import RawEvent
from tests.contexts import make_context
from tests.rig import Rig, rig
from tests.servers.dovecot import PASSWORD, USER, Dovecot

CHANNEL = "mailbox"


def imap(dovecot: Dovecot, **options: Any) -> ImapConfig:
    """Options for a mailbox of `dovecot`, quick to notice and to try again."""
    base: dict[str, Any] = {"host": "127.0.0.1", "port": dovecot.port, "tls": "none", "user": USER}
    base |= {"idle_secs": 20.0, "poll_secs": 0.2, "retry_secs": 0.1, "timeout_secs": 10.0}
    if "oauth" not in options:
        base["password"] = Secret(PASSWORD)
    return ImapConfig(**base | options)


def mail(number: int, *, text: str = "hello", message_id: bool = True, more: bytes = b"") -> bytes:
    """A small mail; its number makes it another one."""
    own = f"Message-ID: <{number}@customer.example>\r\n" if message_id else ""
    header = f"From: Ann <ann{number}@customer.example>\r\nTo: {USER}\r\nSubject: Question {number}\r\n{own}"
    return f"{header}Date: Fri, 20 Nov 2026 12:00:00 +0000\r\n\r\n{text}\r\n".encode() + more


class Post:
    """A mail channel that reads a mailbox, and what it handed over."""

    def __init__(self, channel: EmailChannel, it: Rig) -> None:
        self.channel, self.rig = channel, it
        self.taken: list[tuple[RawEvent, Receipt]] = []
        self.reports: list[tuple[str, str | None, bool, datetime | None]] = []
        self.before: Callable[[RawEvent], None] = lambda _: None
        """Called before a mail goes to the pipeline; may raise."""
        self.task: asyncio.Task[None] | None = None

    def report(
        self, component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None
    ) -> None:
        """See `connectors.report.Report`."""
        self.reports.append((component, reason, down, expires_at))

    async def sink(self, raw: RawEvent) -> Receipt:
        """Hand over to the pipeline, and take down what it said."""
        assert raw.noted, "a flag is set afterwards, so the receipt has to wait for the commit"
        self.before(raw)
        receipt = await self.rig.intake(raw)
        self.taken.append((raw, receipt))
        return receipt

    @property
    def subjects(self) -> list[str]:
        """Subjects of the mails that became events for the first time, in order."""
        return [_subject(raw) for raw, receipt in self.taken if receipt is Receipt.ACCEPTED]

    def receipts(self) -> list[Receipt]:
        """What the pipeline said, in order."""
        return [receipt for _, receipt in self.taken]

    async def until(self, condition: Callable[[], object], secs: float = 20) -> None:
        """Wait, and fail at once when the channel ends."""
        async with asyncio.timeout(secs):
            while not condition():
                assert self.task is None or not self.task.done(), "the channel ended"
                await asyncio.sleep(0.01)

    async def accepted(self, count: int, secs: float = 20) -> None:
        """Wait until so many mails became events for the first time."""
        await self.until(lambda: len(self.subjects) >= count, secs)


def _subject(raw: RawEvent) -> str:
    for line in raw.body.split(b"\n"):
        if line.lower().startswith(b"subject:"):
            return line[8:].strip().decode(errors="replace")
    return ""


@asynccontextmanager
async def reading(
    folder: Path, options: ImapConfig, *, store: Deduplicator | None = None, broker_url: str = "embedded:"
) -> AsyncIterator[Post]:
    """Run a channel until the end of the block; with the same `folder` it goes on where it was."""
    async with (
        rig(folder, channel=CHANNEL, kind="email", codec=EmailCodec(), broker_url=broker_url) as it,
        aiohttp.ClientSession() as http,
    ):
        settings = EmailConfig(imap=options)
        reports = Reports()
        context = make_context(it.channel, folder, http, store=store or it.dedup, report=reports)
        post = Post(EmailChannel(settings, context), it)
        reports.post = post
        async with asyncio.TaskGroup() as group:
            post.task = task = group.create_task(post.channel.run(post.sink))
            yield post
            task.cancel()


class Reports:
    """Passes reports on."""

    post: Post

    def __call__(self, *arguments: Any, **options: Any) -> None:
        self.post.report(*arguments, **options)


def place(raw: RawEvent) -> dict[str, Any]:
    """Where a mail was."""
    found: dict[str, Any] = msgspec.json.decode(raw.meta["imap"])
    return found
