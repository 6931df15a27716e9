"""What a Viber message is made of (https://developers.viber.com/docs/api/rest-bot-api/#receive-message-from-user)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs.viber_types import Message
from normalizer.errors import MalformedPayload
from normalizer.parts import AnyPart
from normalizer.raw import RawEvent

MEDIA_TTL = timedelta(hours=1)
"""How long the address of a picture, a video or a file works."""


def parts_of(raw: RawEvent, message: Message, token: str, *, silent: bool) -> list[AnyPart]:
    """List the content; a type nobody knows becomes `unsupported`. Raises `MalformedPayload` that names the field.

    Args:
        raw: the delivery.
        message: in it.
        token: of the message, which names its file, too.
        silent: it is what a button sent, which the person does not see in the chat.
    """
    if message.type == "text":
        body = _there(message.text, "text")
        return [p.ChoiceReply(item_id=body)] if silent else [p.Text(body=body)]
    read = _READ.get(message.type)
    return [p.Unsupported(provider_type=message.type) if read is None else read(raw, message, token)]


def _there(value: build.T | None, name: str) -> build.T:
    if value is None:
        raise MalformedPayload(f"message.{name} is missing")
    return value


def _media(raw: RawEvent, message: Message, token: str) -> p.Media:
    duration = message.duration
    return p.Media(
        id=ids.media_id(raw.channel.id, token),
        name=message.file_name or None,
        size=message.file_size,
        duration_ms=None if duration is None or not 0 <= duration < 1e9 else round(duration * 1000),
        caption=message.text or None,
        status="pending",
        provider_id=_there(message.media or None, "media"),
        expires_at=raw.received_at + MEDIA_TTL,
    )


def _sticker(raw: RawEvent, message: Message, token: str) -> p.Media:
    """Name the picture of a sticker; one without is known by its number only."""
    if message.media:
        return _media(raw, message, token)
    native = str(_there(message.sticker_id, "sticker_id"))
    return p.Media(id=ids.media_id(raw.channel.id, token), status="failed", provider_id=native)


def _contact(message: Message) -> p.Contact:
    card = _there(message.contact, "contact")
    return p.Contact(name=card.name or card.phone_number, phones=(card.phone_number,) if card.phone_number else ())


def _place(message: Message) -> p.Location:
    place = _there(message.location, "location")
    return p.Location(lat=place.lat, lon=place.lon)


def _link(message: Message) -> p.Text:
    return p.Text(body="\n".join(filter(None, (message.text, _there(message.media, "media")))))


_READ: dict[str, Callable[[RawEvent, Message, str], AnyPart]] = {
    "url": lambda _, message, __: _link(message),
    "picture": lambda raw, message, token: p.Image(media=_media(raw, message, token)),
    "video": lambda raw, message, token: p.Video(media=_media(raw, message, token)),
    "file": lambda raw, message, token: p.File(media=_media(raw, message, token)),
    "sticker": lambda raw, message, token: p.Sticker(media=_sticker(raw, message, token)),
    "contact": lambda _, message, __: _contact(message),
    "location": lambda _, message, __: _place(message),
}
