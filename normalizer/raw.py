"""What crosses the border between connectors (bytes) and codecs (meaning)."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from normalizer.model import Address, ChannelRef, EventParams, MessageRef, Security
from normalizer.parts import AnyPart


class RawEvent(Struct, frozen=True, kw_only=True):
    """An inbound payload before any interpretation; safe to keep and to replay.

    Attributes:
        channel: the configured channel it arrived on.
        kind: the channel kind, which names the codec.
        body: the bytes as received, already authenticated.
        received_at: when, in UTC.
        content_type: as the sender declared it.
        security: how the connector proved the origin.
        meta: what the transport knew besides the body (SMTP envelope, peer …); strings only.
        on_malformed: what becomes of a body of which nothing could be made: kept in quarantine and answered as
            accepted (providers that repeat or disable a failing hook), or rejected (the sender must mend it).
        item: true when `body` is a single item of a batch (re-driven from quarantine), not a whole delivery.
        noted: whoever hands it over notes afterwards that it came (a flag, a cursor), and asks for it again if he dies
            in between; so the receipt waits until the event is known as a duplicate.
    """

    channel: ChannelRef
    kind: str
    body: bytes
    received_at: datetime
    content_type: str = "application/json"
    security: Security | None = None
    meta: dict[str, str] = {}
    on_malformed: Literal["quarantine", "reject"] = "quarantine"
    item: bool = False
    noted: bool = False


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened, as a codec read it.

    Attributes:
        method: a notification of `normalizer.methods`.
        params: its params; `conversation.seq` and `dedup` are still empty.
        key: the dedup key (`normalizer.ids.dedup_key`).
        after: the dedup key of an event that must be published first if it is on its way, too: an edit follows what
            it edits. Empty: none.
    """

    method: str
    params: EventParams
    key: str
    after: str = ""


class BadItem(Struct, frozen=True, kw_only=True):
    """One item of a delivery that could not be understood; the others go on.

    Attributes:
        body: the item's own bytes, enough to decode it again (`RawEvent.item`).
        reason: one line for a human, with the path of the offending field, never customer text.
    """

    body: bytes
    reason: str


class Ignored(Struct, frozen=True, kw_only=True):
    """An item the configuration or the protocol says to drop (handshake, own echo, `skip`).

    Attributes:
        reason: low-cardinality, a metric label.
    """

    reason: str


Decoded = Event | BadItem | Ignored
"""What `Codec.decode` yields."""


class Outbound(Struct, frozen=True, kw_only=True):
    """A message on its way out, with every reference resolved to what the provider knows.

    Attributes:
        id: our id of the message (`msg_…`), derived from the idempotency key where there is one.
        channel: the channel it leaves by.
        to: the provider's address of the recipient or conversation.
        parts: at least one.
        text: the plain rendering, for channels that have nothing better.
        reply_to: the message it answers.
        thread: the provider's id of the thread, where the channel has threads.
        subject: mail and the like.
        conversation: our id of the conversation (`cnv_…`), where the caller named it or it follows from `to`.
        in_response_to: our id of the message this answers (`msg_…`), where the caller said so.
        metadata: provider extras (`metadata.telegram.parse_mode` …).
    """

    id: str
    channel: ChannelRef
    to: Address
    parts: tuple[AnyPart, ...]
    text: str = ""
    reply_to: MessageRef | None = None
    thread: str | None = None
    subject: str | None = None
    conversation: str | None = None
    in_response_to: str | None = None
    metadata: dict[str, dict[str, str]] = {}


class Wire(Struct, frozen=True, kw_only=True):
    """An outbound HTTP request, described and not performed.

    Attributes:
        url: a path below the channel's `api_base`, or an absolute URL.
    """

    method: str
    url: str
    headers: dict[str, str] = {}
    body: bytes = b""
