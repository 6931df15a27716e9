"""What a LINE message is made of (https://developers.line.biz/en/reference/messaging-api/#message-event)."""

from __future__ import annotations

from typing import Any

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs.line_types import Message
from normalizer.errors import MalformedPayload
from normalizer.parts import AnyPart

METADATA = {
    "emojis": "emojis",
    "mention": "mention",
    "quote_token": "quoteToken",
    "mark_as_read_token": "markAsReadToken",
    "image_set": "imageSet",
    "sticker_resource_type": "stickerResourceType",
    "keywords": "keywords",
}
"""Fields that only LINE has, for `metadata.line` under LINE's own names."""


def parts_of(message: Message, channel_id: str) -> list[AnyPart]:
    """List the content; a type nobody knows becomes `unsupported`. Raises `MalformedPayload` that names the field."""
    match message.type:
        case "text":
            return [p.Text(body=_there(message.text, "text"))]
        case "image":
            return [p.Image(media=_media(message, channel_id))]
        case "video":
            return [p.Video(media=_media(message, channel_id))]
        case "audio":  # recorded in the app, unless an app inside LINE sent the link to it
            return [p.Audio(media=_media(message, channel_id, voice=message.content_provider.type == "line"))]
        case "file":
            return [p.File(media=_media(message, channel_id))]
        case "sticker":
            return [p.Sticker(media=_sticker(message, channel_id))]
        case "location":
            return [_location(message)]
        case kind:
            return [p.Unsupported(provider_type=kind)]


def _there(value: build.T | None, name: str) -> build.T:
    if value is None:
        raise MalformedPayload(f"message.{name} is missing")
    return value


def _media(message: Message, channel_id: str, *, voice: bool = False) -> p.Media:
    """Name a file by the id of its message, or by its address where LINE does not have it."""
    provider = message.content_provider
    native = message.id
    if provider.type == "external":
        native = _there(provider.original_content_url, "contentProvider.originalContentUrl")
    return p.Media(
        id=ids.media_id(channel_id, message.id),
        name=message.file_name,
        size=message.file_size,
        duration_ms=message.duration,
        voice=voice,
        status="pending",
        provider_id=native,
    )


def _sticker(message: Message, channel_id: str) -> p.Media:
    package, sticker = _there(message.package_id, "packageId"), _there(message.sticker_id, "stickerId")
    native = f"{package}/{sticker}"
    caption = message.text or (message.keywords[0] if message.keywords else None)
    return p.Media(
        id=ids.media_id(channel_id, f"sticker:{native}"),
        mime="image/png",
        caption=caption,
        status="pending",
        provider_id=native,
    )


def _location(message: Message) -> p.Location:
    return p.Location(
        lat=_there(message.latitude, "latitude"),
        lon=_there(message.longitude, "longitude"),
        name=message.title or None,
        address=message.address or None,
    )


def extras(message: Message) -> dict[str, Any]:
    """Collect what has no place in the model."""
    found = {theirs: getattr(message, ours) for ours, theirs in METADATA.items()}
    return {name: build.bounded(value) for name, value in found.items() if value}
