"""From a received mail to the pipeline: attachments are stored first, so that the codec can refer to them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from enum import Enum

import msgspec
from msgspec import Struct
from typing_extensions import override

from connectors.api import Context, Receipt, Sink
from connectors.email.backstop import Backstop
from connectors.email.indexes import Indexes
from connectors.email.trust import Origin, Trust
from connectors.errors import Busy, StateUnavailable
from normalizer.codecs.email import EmailCodec, StoredPart, stored
from normalizer.codecs.email_content import Blob
from normalizer.errors import MalformedPayload
from normalizer.model import Security
from normalizer.raw import RawEvent

INLINE_MAX = 65_536
"""Bytes of a mail that is taken apart in the event loop; a larger one goes to a thread."""


class Mail(Struct, frozen=True, kw_only=True):
    """A mail and its envelope, after the end of data.

    Attributes:
        body: as received, dots unstuffed.
        sender: MAIL FROM, empty for the null return path.
        peer: IP address of the client.
        helo: how the client introduced itself.
        tls: protocol version, empty on an unencrypted connection.
        user: name the client has authenticated itself with, if it has.
    """

    body: bytes
    sender: str
    peer: str
    helo: str
    tls: str
    user: str = ""


class Outcome(Enum):
    """What the SMTP client is told."""

    ACCEPTED = "accepted"
    BUSY = "busy"
    REFUSED = "refused"


class Inbox:
    """Delivers mails of one channel."""

    def __init__(self, context: Context, sink: Sink, trust: Trust, backstop: Backstop, codec: EmailCodec) -> None:
        """Hand mails to `sink`, with what `trust` says of their origin; `backstop` looks at them before.

        `codec` takes them apart; the one that will decode them need not do it twice.
        """
        self._context, self._sink, self._trust, self._backstop = context, sink, trust, backstop
        self._codec = codec
        self._indexes = Indexes(context.state, context.log)

    @override
    def __str__(self) -> str:
        """Name the channel, for an error about its addresses."""
        return f"channel {self._context.channel.id!r}"

    async def deliver(self, mail: Mail, recipients: list[str]) -> Outcome:
        """Return once the mail is durable, or is not going to be; raises nothing but `CancelledError`."""
        try:
            await self._sink(await self._event(mail, recipients))
        except Busy:
            return Outcome.BUSY
        except MalformedPayload:
            return Outcome.REFUSED
        except Exception:
            self._context.log.exception("mail_not_accepted")
            self._context.refused("internal")
            return Outcome.BUSY
        return Outcome.ACCEPTED

    async def take(
        self, body: bytes, meta: dict[str, str], *, recipients: list[str], raw_ref: str | None = None
    ) -> Receipt:
        """Hand over a mail from a mailbox, whose envelope nobody knows any more.

        Args:
            body: the mail, or as much of it as is read.
            meta: what else to tell the codec.
            recipients: the channel's own addresses.
            raw_ref: the whole mail in the blob store, where `body` is less.

        Raises:
            Busy: nothing is promised; try again.
            MalformedPayload: see `connectors.api.Sink`.
        """
        await self._observe(body, None, recipients)
        security = await self._trust.judge(body, whole=raw_ref is None)
        return await self._sink(await self._raw(body, recipients, meta, security, raw_ref))

    async def _event(self, mail: Mail, recipients: list[str]) -> RawEvent:
        await self._observe(mail.body, mail.sender, recipients)
        meta = {
            "mail_from": mail.sender,
            "peer": mail.peer,
            "helo": mail.helo,
            "tls": mail.tls,
            "user": mail.user,
        }
        return await self._raw(mail.body, recipients, meta, await self._security(mail))

    async def _raw(
        self, body: bytes, recipients: list[str], meta: dict[str, str], security: Security, raw_ref: str | None = None
    ) -> RawEvent:
        known = {
            "rcpt_to": msgspec.json.encode(recipients).decode(),
            "raw_ref": raw_ref or await self._context.blobs.put(body),
            "stored": stored(await self._store(body)),
        }
        if begun_by := await self._indexes.begun_by(body):
            known["begun_by"] = begun_by
        return RawEvent(
            channel=self._context.channel,
            kind="email",
            body=body,
            received_at=datetime.now(UTC),
            content_type="message/rfc822",
            security=security,
            meta={**meta, **known},
            on_malformed="quarantine",
            noted=True,  # a flag in the mailbox, or the 250 that a client who lost the connection did not hear
        )

    async def _observe(self, body: bytes, sender: str | None, recipients: list[str]) -> None:
        """Let the guard against loops see the mail; without its memory the mail is taken all the same."""
        try:
            await self._backstop.observe(body, sender, recipients)
        except StateUnavailable as exc:
            self._context.log.warning("automatic_mail_not_remembered", reason=str(exc))
        except Exception:
            self._context.log.exception("automatic_mail_not_remembered")  # a fault here must not cost a mail

    async def _security(self, mail: Mail) -> Security:
        """Say how far the origin is proved; SPF is about strangers, not about clients that have a password."""
        if mail.user:
            return await self._trust.judge(mail.body, verified="basic")
        return await self._trust.judge(mail.body, Origin(peer=mail.peer, helo=mail.helo, mail_from=mail.sender))

    async def _store(self, body: bytes) -> dict[str, StoredPart]:
        """Put every attachment and the page into the blob store, whose references are hashes of the content."""
        large = len(body) > INLINE_MAX
        parts: dict[str, StoredPart] = {}
        for one in await asyncio.to_thread(self._derived, body) if large else self._derived(body):
            data = await asyncio.to_thread(one.data) if large else one.data()
            ref = await self._context.blobs.put(data)
            parts[one.section] = StoredPart(sha256=ref.removeprefix("sha256:"), size=len(data), notes=one.notes)
        return parts

    def _derived(self, body: bytes) -> list[Blob]:
        try:
            return list(self._codec.derived(body))
        except Exception:  # noqa: BLE001 -- the codec meets the same fault and sends the mail to the quarantine
            return []
