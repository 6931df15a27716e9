"""A mail channel at work in the test's own loop, and clients for it."""

from __future__ import annotations

import asyncio
import hashlib
import smtplib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import aiohttp
import trustme

from connectors.api import Context, Receipt
from connectors.email import EmailChannel, EmailConfig, SmtpConfig
from connectors.email.config import TrustConfig
from connectors.email.listener import Listener
from normalizer.model import ChannelRef
from normalizer.raw import RawEvent
from tests.contexts import make_context


class FolderBlobs:
    """Blobs as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / digest).write_bytes(data)
        return f"sha256:{digest}"

    async def get(self, ref: str) -> bytes:
        return (self.folder / ref.removeprefix("sha256:")).read_bytes()


class Pipeline:
    """A sink that keeps what it takes; it can be stopped, and made to fail."""

    def __init__(self) -> None:
        self.taken: list[RawEvent] = []
        self.arrived = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def __call__(self, raw: RawEvent) -> Receipt:
        self.arrived.set()
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.taken.append(raw)
        return Receipt.ACCEPTED


class Office:
    """Runs channels that share one hub."""

    def __init__(self, folder: Path, http: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        self.folder, self.http, self.group = folder / "blobs", http, group
        self.folder.mkdir()
        self.hub: dict[str, Any] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def add(
        self,
        name: str = "support",
        addresses: tuple[str, ...] = ("support@shop.example",),
        trust: TrustConfig = TrustConfig(),  # noqa: B008 -- immutable
        **smtp: Any,
    ) -> Pipeline:
        """Start a channel and wait until it takes mail."""
        options = {"listen": "127.0.0.1:0", "hostname": "mx.shop.example", "settle_secs": 0.0, **smtp}
        return await self.start(name, EmailConfig(addresses=addresses, smtp=SmtpConfig(**options), trust=trust))

    async def start(self, name: str, config: EmailConfig) -> Pipeline:
        """Start a channel with any options and wait until it takes mail."""
        pipeline = Pipeline()
        channel = EmailChannel(config, self.context(name))
        self.tasks[name] = task = self.group.create_task(channel.run(pipeline))
        async with asyncio.timeout(20):
            while self._doors(name) < (config.smtp is not None) + (config.lmtp is not None):
                if task.done():
                    raise RuntimeError(f"channel {name} did not start")
                await asyncio.sleep(0.005)
        return pipeline

    def _doors(self, name: str) -> int:
        """Count the listeners at which a channel takes mail."""
        found = [one for one in self.hub.values() if isinstance(one, Listener)]
        members = [member for one in found for member in one._members if str(member) == f"channel {name!r}"]
        return sum(member.group is not None for member in members)

    def context(self, name: str) -> Context:
        channel, data = ChannelRef(id=name, type="email"), self.folder.with_name("data")
        return make_context(channel, data, self.http, blobs=FolderBlobs(self.folder), hub=self.hub)

    async def remove(self, name: str) -> None:
        task = self.tasks.pop(name)
        task.cancel()
        await asyncio.wait([task])

    @property
    def listener(self) -> Listener:
        listener: Listener = self.hub["smtp:127.0.0.1:0"]
        return listener

    @property
    def port(self) -> int:
        return self.listener.port

    async def send(self, mail: bytes | EmailMessage, *to: str, **options: Any) -> dict[str, tuple[int, bytes]]:
        """Send as smtplib does; returns the refused recipients."""
        return await asyncio.to_thread(self.send_now, mail, *to, **options)

    def send_now(
        self,
        mail: bytes | EmailMessage,
        *to: str,
        sender: str = "ann@example.net",
        starttls: ssl.SSLContext | None = None,
        options: tuple[str, ...] = (),
    ) -> dict[str, tuple[int, bytes]]:
        data = mail if isinstance(mail, bytes) else mail.as_bytes(policy=SMTP)
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example", timeout=20) as client:
            if starttls is not None:
                client.starttls(context=starttls)
            return client.sendmail(sender, to or ("support@shop.example",), data, mail_options=options)

    @asynccontextmanager
    async def raw(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
        """Connect without any library in between; with `tls` to the port where it begins at once."""
        port = self.port if tls is None else self.listener.tls_port
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname="mx.shop.example" if tls else None
        )
        client = Client(reader, writer)
        try:
            yield client
        finally:
            writer.close()


class Client:
    """Types SMTP by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, *lines: str | bytes) -> None:
        data = b"".join(line if isinstance(line, bytes) else line.encode() + b"\r\n" for line in lines)
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self) -> str:
        """Return one reply, the last line of it where it has several; empty once the connection is closed."""
        async with asyncio.timeout(10):
            while True:
                line = (await self.reader.readline()).decode().rstrip()
                if line[3:4] != "-":
                    return line

    async def ask(self, *lines: str | bytes) -> str:
        await self.say(*lines)
        return await self.hear()

    async def begin(self, *recipients: str) -> str:
        """Go on until the server waits for the mail."""
        await self.hear()
        await self.ask("EHLO client.example")
        await self.ask("MAIL FROM:<ann@example.net>")
        for recipient in recipients or ("support@shop.example",):
            await self.ask(f"RCPT TO:<{recipient}>")
        return await self.ask("DATA")


def certificate(folder: Path) -> dict[str, str]:
    """Make a certificate; returns the options that use it. `client_tls` trusts it."""
    authority = trustme.CA()
    issued = authority.issue_cert("mx.shop.example", "127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(folder / "cert.pem", append=number > 0)
    return {"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}


def client_tls(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "ca.pem")


def mail(text: str = "Where is my parcel?", **headers: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ann <ann@example.net>"
    message["To"] = "support@shop.example"
    message["Subject"] = "Parcel"
    message["Message-ID"] = "<1@example.net>"
    for name, value in headers.items():
        del message[name.replace("_", "-")]
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message
