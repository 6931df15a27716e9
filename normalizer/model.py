"""The one message model: what consumers read from the broker.

`params` of every notification extend `EventParams`. The codec fills what it knows from the payload;
the pipeline adds `conversation.seq` and `dedup` when it claims the event.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import field

from normalizer.flags import Flags as Flags  # noqa: PLC0414 -- part of the model, in a module of its own for its length
from normalizer.parts import AnyPart, Base, Media, Segment

SCHEMA_VERSION = "1.0"


class Address(Base, frozen=True, kw_only=True):
    """A way to reach somebody: ``tel``/``+4930…``, ``mailto``/``a@b``, ``telegram``/``4711``."""

    scheme: str
    value: str


class Party(Base, frozen=True, kw_only=True):
    """Who speaks or is spoken to; `id` is derived from the first address."""

    id: str
    name: str | None = None
    role: Literal["customer", "agent", "bot", "system"]
    locale: str | None = None
    addresses: tuple[Address, ...] = ()


class ChannelRef(Base, frozen=True, kw_only=True):
    """The configured channel an event belongs to; `account` is the provider's name of our side."""

    id: str
    type: str
    account: str | None = None
    labels: dict[str, str] = {}


class Conversation(Base, frozen=True, kw_only=True):
    """A thread of messages.

    `seq` rises within the conversation and may skip numbers; it is a count of microseconds, pushed up by one
    where two messages meet, so that it goes on rising after the dedup store has lost its data.
    `provider_id` is what a reply must be addressed to.
    """

    id: str
    kind: Literal["direct", "group", "email", "call", "session"]
    seq: int | None = None
    provider_id: str | None = None


class MessageRef(Base, frozen=True, kw_only=True):
    """A message, by our id and by the provider's."""

    id: str | None = None
    provider_id: str | None = None


class Thread(Base, frozen=True, kw_only=True):
    """The thread inside a conversation (Slack, Telegram topics, mail)."""

    root_provider_id: str


class Referral(Base, frozen=True, kw_only=True):
    """What brought the customer here."""

    source: Literal["ad", "post", "qr", "shortlink"]
    ref: str | None = None
    ad_id: str | None = None
    url: str | None = None


class ReplyWindow(Base, frozen=True, kw_only=True):
    """How long, and how, the provider lets us answer."""

    until: datetime | None = None
    mode: Literal["session", "template_only", "passive"] = "session"
    passive_deadline: datetime | None = None


class Message(Base, frozen=True, kw_only=True):
    """One message; `text` is the plain rendering of all parts and always present."""

    id: str
    provider_id: str
    sender: Party = field(name="from")
    received_at: datetime
    text: str
    parts: tuple[AnyPart, ...] = ()
    revision: int
    direction: Literal["in", "out", "echo"]
    sent_at: datetime | None = None
    to: tuple[Party, ...] = ()
    cc: tuple[Party, ...] = ()
    subject: str | None = None
    reply_to: MessageRef | None = None
    thread: Thread | None = None
    referral: Referral | None = None
    flags: Flags | None = None
    reply_window: ReplyWindow | None = None


class DedupInfo(Base, frozen=True, kw_only=True):
    """The verdict of the dedup store, as data.

    `redelivery` counts earlier attempts whose outcome nobody knows (a process or a broker died between
    sending and confirming): with 0 this is the only copy, with more another copy of this `event_id` may exist.
    """

    key: str
    state: Literal["first", "unchecked"]
    redelivery: int


class RawInfo(Base, frozen=True, kw_only=True):
    """Where the bytes as received are kept, and what read them."""

    sha256: str | None = None
    ref: str | None = None
    normalizer: str | None = None


class Security(Base, frozen=True, kw_only=True):
    """How far the origin was proved.

    `dkim`, `spf`, `dmarc` and `arc` are results of mail authentication in the words of RFC 8601 (``pass``, ``fail``,
    ``temperror`` …), missing where nobody looked. `dkim_domain` and `spf_domain` are whom that `dkim` and `spf` are
    about; only `dmarc` says whether it is the domain of the author. `dmarc_policy` is what the author's domain asks to
    do with a failure. `authserv_id` names the server in front whose results these are (empty where it gives no name);
    the gateway's own have none.
    """

    verified: Literal["hmac", "ed25519", "token", "basic", "mtls", "none"]
    dkim: str | None = None
    dkim_domain: str | None = None
    spf: str | None = None
    spf_domain: str | None = None
    dmarc: str | None = None
    dmarc_policy: str | None = None
    arc: str | None = None
    authserv_id: str | None = None


class Trace(Base, frozen=True, kw_only=True):
    """W3C trace context."""

    traceparent: str


class EventParams(Base, frozen=True, kw_only=True):
    """What every notification carries."""

    event_id: str
    channel: ChannelRef
    schema: str
    conversation: Conversation | None = None
    dedup: DedupInfo | None = None
    raw: RawInfo | None = None
    security: Security | None = None
    trace: Trace | None = None
    metadata: dict[str, Any] = {}


class MessageParams(EventParams, frozen=True, kw_only=True):
    """`message.received`, `message.updated`."""

    message: Message


class DeletedParams(EventParams, frozen=True, kw_only=True):
    """`message.deleted`."""

    message: MessageRef
    at: datetime
    by: Party | None = None


class ReactionParams(EventParams, frozen=True, kw_only=True):
    """`reaction.added`, `reaction.removed`."""

    message: MessageRef
    sender: Party = field(name="from")
    emoji: str
    at: datetime


class ReceiptParams(EventParams, frozen=True, kw_only=True):
    """`receipt.delivered`, `receipt.read` (the customer's side)."""

    message: MessageRef
    at: datetime
    sender: Party | None = field(default=None, name="from")


class ActivityParams(EventParams, frozen=True, kw_only=True):
    """`typing.*`, `contact.*`, `conversation.*`: somebody did something that is not a message.

    `same_as` of `contact.identified` has the ids that the further addresses of `from` make (`ctc_…`): a consumer that
    knows a contact by one of these knows now that it is the same person as `from.id`.
    """

    at: datetime
    sender: Party | None = field(default=None, name="from")
    referral: Referral | None = None
    reason: str | None = None
    same_as: tuple[str, ...] = ()


class StatusError(Base, frozen=True, kw_only=True):
    """Why a message failed; `code` as in the JSON-RPC errors."""

    code: int
    message: str
    retryable: bool = False


class StatusParams(EventParams, frozen=True, kw_only=True):
    """`message.status`: what became of a message we sent; never goes backwards."""

    message: MessageRef
    status: Literal["queued", "sent", "delivered", "read", "failed", "expired"]
    at: datetime
    error: StatusError | None = None
    idempotency_key: str | None = None


class QuarantinedParams(EventParams, frozen=True, kw_only=True):
    """`message.quarantined`: something was accepted, kept, and not understood."""

    quarantine_id: int
    reason: str
    at: datetime


class ChannelStatusParams(EventParams, frozen=True, kw_only=True):
    """`channel.status`: published on edges only."""

    status: Literal["ok", "degraded", "down"]
    at: datetime
    component: str | None = None
    reasons: tuple[str, ...] = ()
    expires_at: datetime | None = None


class LedgerParams(EventParams, frozen=True, kw_only=True):
    """`channel.ledger`: received = published + duplicate + ignored + quarantined + spooled."""

    at: datetime
    received: int
    published: int
    duplicate: int
    ignored: int
    quarantined: int
    spooled: int


class MediaParams(EventParams, frozen=True, kw_only=True):
    """`media.stored`, `media.failed`."""

    media: Media
    message: MessageRef | None = None
    at: datetime


class TranscribedParams(MediaParams, frozen=True, kw_only=True):
    """`message.transcribed`: what was said in a voice note; `media.transcript` is `text`.

    With `metadata.error` (`code`, `message`) it could not be transcribed: `text` is empty, and nothing follows.

    Attributes:
        language: of the model.
        text: of the segments, joined; empty, too, where nobody speaks.
        segments: utterances in the order of time, from the start of the recording.
    """

    language: str
    text: str
    segments: tuple[Segment, ...] = ()
