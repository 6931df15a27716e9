"""Shapes of Viber's callbacks (https://developers.viber.com/docs/api/rest-bot-api/#callbacks)."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

Id = Annotated[str, Meta(min_length=1)]
Token = int | Id
"""Beyond 2^53: a number here, text for whoever reads JSON with floating point."""


class User(Struct, frozen=True, kw_only=True):
    """Who wrote, or did something; `id` belongs to one bot."""

    id: Id
    name: str | None = None
    avatar: str | None = None
    country: str | None = None
    language: str | None = None
    api_version: int | None = None


class Location(Struct, frozen=True, kw_only=True):
    """A place."""

    lat: Annotated[float, Meta(ge=-90, le=90)]
    lon: Annotated[float, Meta(ge=-180, le=180)]


class Contact(Struct, frozen=True, kw_only=True):
    """A contact card."""

    name: str = ""
    phone_number: str = ""


class Message(Struct, frozen=True, kw_only=True):
    """https://developers.viber.com/docs/api/rest-bot-api/#receive-message-from-user; `duration` in seconds."""

    type: Id
    text: str | None = None
    media: str | None = None
    thumbnail: str | None = None
    location: Location | None = None
    contact: Contact | None = None
    tracking_data: str | None = None
    file_name: str | None = None
    file_size: int | None = None
    duration: float | None = None
    sticker_id: int | str | None = None


class Callback(Struct, frozen=True, kw_only=True):
    """One thing that happened; `timestamp` in milliseconds."""

    event: Id
    message_token: Token
    timestamp: int = 0
    user: User | None = None
    user_id: str | None = None
    sender: User | None = None
    message: Message | None = None
    type: str | None = None
    context: str | None = None
    subscribed: bool | None = None
    silent: bool | None = None
    reply_type: str | None = None
    chat_hostname: str | None = None
    desc: str | None = None
    status: dict[str, Any] | None = None
