"""Media of the Cloud API: up and down.

https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from connectors.api import Fetched
from connectors.errors import Refused
from connectors.http import TooLarge
from connectors.meta_api import result
from connectors.meta_probe import Ask, get
from connectors.multipart import post_form
from normalizer.parts import Media, MediaPart

UPLOADED_DAYS = timedelta(days=30)
"""How long the id of an upload is good."""

MB = 1024 * 1024
SIZES = {"image": 5 * MB, "audio": 16 * MB, "video": 16 * MB, "file": 100 * MB, "sticker": 500 * 1024}
"""Largest file, by part type; a sticker of 500 KB is an animated one, others have 100 KB."""

MIMES = {
    "image": frozenset({"image/jpeg", "image/png"}),
    "audio": frozenset({"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/opus"}),
    "video": frozenset({"video/mp4", "video/3gpp"}),
    "sticker": frozenset({"image/webp"}),
}
"""Types that are taken; documents may be of any."""

GONE = "404"


class _Uploaded(Struct, frozen=True):
    id: str


class _Found(Struct, frozen=True):
    url: str
    mime_type: str | None = None
    file_size: int = 0


async def upload(ask: Ask, phone_number_id: str, part: MediaPart, content: Fetched, now: float) -> Media:
    """Upload a file; returns its media with WhatsApp's id and when that ends.

    Raises:
        Refused: WhatsApp takes no such files; `TooLarge`, none of this size.
        SendError: by WhatsApp's answer.
    """
    tag = str(part.__struct_config__.tag)
    mime = (content.mime or part.media.mime or "").partition(";")[0].strip().lower() or "application/octet-stream"
    takes = MIMES.get(tag)
    if takes is not None and mime not in takes:
        raise Refused(f"WhatsApp takes no {tag} of type {mime}; it takes {', '.join(sorted(takes))}")
    if len(content.data) > SIZES[tag]:
        raise TooLarge(f"WhatsApp takes {tag} of at most {SIZES[tag]} bytes")
    file = Fetched(data=content.data, mime=mime, name=content.name or part.media.name)
    fields = {"messaging_product": "whatsapp", "type": mime}
    told = result(await ask(post_form(f"/{phone_number_id}/media", fields, {"file": file})), _Uploaded)
    until = datetime.fromtimestamp(now, UTC) + UPLOADED_DAYS
    return replace(part.media, provider_id=told.id, expires_at=until, url=None)


async def find(ask: Ask, media: Media, *, max_bytes: int) -> str:
    """Ask for the URL of a file, which is good for 5 minutes.

    Raises:
        TooLarge: more than `max_bytes`.
        Refused: WhatsApp has it no more.
        SendError: by WhatsApp's answer.
    """
    try:
        told = result(await ask(get(f"/{media.provider_id or '0'}")), _Found)
    except Refused as exc:  # "object does not exist": a webhook's media id is good for 7 days
        raise Refused("WhatsApp has this file no more", provider_code=GONE, provider_text=exc.provider_text) from None
    if told.file_size > max_bytes:
        raise TooLarge(f"the file is larger than {max_bytes} bytes")
    return told.url
