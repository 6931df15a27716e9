"""Shapes of LINE's webhook (https://developers.line.biz/en/reference/messaging-api/#webhook-event-objects).

Only what is read has a field; ids are checked to be there, times and places to be possible.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

LATEST_MS = 32_503_680_000_000
"""The year 3000: what is later is no time."""

Id = Annotated[str, Meta(min_length=1)]
Millis = Annotated[int, Meta(ge=0, le=LATEST_MS)]


class Shape(Struct, frozen=True, kw_only=True, rename="camel"):
    """Base: LINE writes camelCase."""


class Callback(Shape, frozen=True, kw_only=True):
    """A delivery: events of several users, perhaps none (https://developers.line.biz/en/reference/messaging-api/#request-body)."""

    events: tuple[msgspec.Raw, ...]
    destination: str = ""


class Source(Shape, frozen=True, kw_only=True):
    """Where an event comes from; `user_id` is missing where the person does not agree to show it."""

    type: str = ""
    user_id: str | None = None
    group_id: str | None = None
    room_id: str | None = None


class DeliveryContext(Shape, frozen=True, kw_only=True):
    """Whether LINE delivers an event again."""

    is_redelivery: bool = False


class ContentProvider(Shape, frozen=True, kw_only=True):
    """Where a file is: with LINE, or (``external``) where somebody else put it."""

    type: str = "line"
    original_content_url: str | None = None
    preview_image_url: str | None = None


class Message(Shape, frozen=True, kw_only=True):
    """https://developers.line.biz/en/reference/messaging-api/#message-event; durations in milliseconds."""

    type: str
    id: Id
    text: str | None = None
    emojis: list[dict[str, Any]] = []
    mention: dict[str, Any] | None = None
    quote_token: str | None = None
    quoted_message_id: str | None = None
    mark_as_read_token: str | None = None
    content_provider: ContentProvider = ContentProvider()
    image_set: dict[str, Any] | None = None
    duration: int | None = None
    file_name: str | None = None
    file_size: int | None = None
    title: str | None = None
    address: str | None = None
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    package_id: str | None = None
    sticker_id: str | None = None
    sticker_resource_type: str | None = None
    keywords: list[str] = []


class Unsend(Shape, frozen=True, kw_only=True):
    """Names the message that was taken back."""

    message_id: Id


class Follow(Shape, frozen=True, kw_only=True):
    """Tells a new friend from one who let us in again."""

    is_unblocked: bool = False


class Postback(Shape, frozen=True, kw_only=True):
    """`params` are the outcome of a date picker or of a rich menu that was switched."""

    data: str
    params: dict[str, Any] | None = None


class Link(Shape, frozen=True, kw_only=True):
    """The outcome of linking an account; `nonce` names the account on our side."""

    result: str
    nonce: str = ""


class Event(Shape, frozen=True, kw_only=True):
    """Common to all events (https://developers.line.biz/en/reference/messaging-api/#common-properties)."""

    type: Id
    webhook_event_id: Id
    timestamp: Millis
    mode: str = "active"
    source: Source | None = None
    reply_token: str | None = None
    delivery_context: DeliveryContext = DeliveryContext()
    message: Message | None = None
    unsend: Unsend | None = None
    follow: Follow | None = None
    postback: Postback | None = None
    link: Link | None = None
