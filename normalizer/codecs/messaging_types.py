"""Webhook payloads of Messenger and of Instagram messaging, which are nearly the same.

https://developers.facebook.com/documentation/business-messaging/messenger-platform/webhooks/webhook-events
https://developers.facebook.com/documentation/business-messaging/instagram-messaging/webhooks
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, field

Id = str | int


class Delivery(Struct):
    """The body of a POST."""

    object: str
    entry: tuple[Raw, ...] = ()


class Head(Struct):
    """As much of an entry as says whose it is."""

    id: Id = ""


class Entry(Struct):
    """What happened to one page or Instagram account."""

    id: Id = ""
    time: int | None = None
    messaging: tuple[Raw, ...] = ()
    standby: tuple[Raw, ...] = ()
    changes: tuple[Raw, ...] = ()


class Change(Struct):
    """A webhook field that is not told as messaging."""

    field: str = ""
    value: Raw = Raw(b"{}")


class Person(Struct):
    """Somebody, by the id for this page, or by that of a plugin."""

    id: Id | None = None
    user_ref: str | None = None


class Product(Struct):
    """What the person was looking at."""

    id: Id | None = None


class Referral(Struct):
    """What brought the person here."""

    ref: str | None = None
    source: str | None = None
    type: str | None = None
    ad_id: Id | None = None
    referer_uri: str | None = None
    ads_context_data: dict[str, Any] | None = None
    product: Product | None = None


class Coordinates(Struct):
    """A place."""

    lat: float
    long: float


class Payload(Struct):
    """What an attachment consists of."""

    url: str | None = None
    title: str | None = None
    sticker_id: Id | None = None
    coordinates: Coordinates | None = None
    template_type: str | None = None
    elements: tuple[dict[str, Any], ...] = ()
    product: dict[str, Any] | None = None
    booking_id: Id | None = None
    status: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    timezone: str | None = None


class Attachment(Struct):
    """One attachment."""

    type: str = "unknown"
    payload: Payload | None = None
    title: str | None = None
    url: str | None = None


class QuickReply(Struct):
    """A quick reply that was chosen."""

    payload: str | None = None


class Story(Struct):
    """The story that is answered."""

    id: Id | None = None
    url: str | None = None


class ReplyTo(Struct):
    """What a message answers."""

    mid: str | None = None
    is_self_reply: bool = False
    story: Story | None = None


class Message(Struct):
    """One message."""

    mid: str
    text: str | None = None
    is_echo: bool = False
    is_deleted: bool = False
    is_unsupported: bool = False
    app_id: Id | None = None
    metadata: str | None = None
    attachments: tuple[Attachment, ...] = ()
    quick_reply: QuickReply | None = None
    reply_to: ReplyTo | None = None
    referral: Referral | None = None


class Edit(Struct):
    """A message changed."""

    mid: str
    num_edit: Id = 0
    text: str | None = None


class Reaction(Struct):
    """A reaction, or its removal."""

    mid: str
    action: str = "react"
    reaction: str | None = None
    emoji: str | None = None


class Postback(Struct):
    """A button of a template, of the menu, or the one to get started."""

    mid: str | None = None
    title: str | None = None
    payload: str | None = None
    referral: Referral | None = None


class Delivered(Struct):
    """Messages that arrived: these, or all up to the watermark."""

    mids: tuple[str, ...] = ()
    watermark: int | None = None


class Seen(Struct):
    """Messages that were read: this one (Instagram), or all up to the watermark (Messenger)."""

    mid: str | None = None
    watermark: int | None = None


class Optin(Struct):
    """Somebody agreed to be written to."""

    type: str | None = None
    ref: str | None = None
    user_ref: str | None = None
    payload: str | None = None
    title: str | None = None
    notification_messages_token: str | None = None
    notification_messages_status: str | None = None
    notification_messages_frequency: str | None = None
    token_expiry_timestamp: int | None = None


class Item(Struct):
    """One thing that happened; one of the fields after `timestamp` is there."""

    sender: Person = field(default_factory=Person)
    recipient: Person = field(default_factory=Person)
    timestamp: Id | None = None
    message: Message | None = None
    message_edit: Edit | None = None
    reaction: Reaction | None = None
    postback: Postback | None = None
    referral: Referral | None = None
    optin: Optin | None = None
    delivery: Delivered | None = None
    read: Seen | None = None
