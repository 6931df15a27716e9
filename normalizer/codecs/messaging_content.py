"""From the content of a Messenger or Instagram message to parts.

https://developers.facebook.com/documentation/business-messaging/messenger-platform/webhooks/webhook-events/messages
https://developers.facebook.com/documentation/business-messaging/instagram-messaging/webhooks
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from normalizer import ids
from normalizer import parts as p
from normalizer.codecs import messaging_types as t
from normalizer.codecs.messaging_scope import Scope
from normalizer.codecs.meta import LATEST, present
from normalizer.parts import AnyPart

_MEDIA: dict[str, type[p.Image | p.Audio | p.Video | p.File | p.Sticker]] = {
    "image": p.Image,
    "audio": p.Audio,
    "video": p.Video,
    "file": p.File,
    "sticker": p.Sticker,
    "story_mention": p.File,  # a picture or a film; known once it is fetched
    "share": p.File,
    "ig_story": p.File,
    "ig_post": p.File,
    "post": p.File,
    "reel": p.Video,
    "ig_reel": p.Video,
}
FILES = frozenset({"image", "audio", "video", "file", "sticker"})
CDN = ("fbcdn.net", "fbsbx.com", "cdninstagram.com")
"""Hosts of files; what is shared from elsewhere is the address of a page."""


def content(scope: Scope, message: t.Message) -> list[AnyPart]:
    """List the parts of a message: its text, and its attachments."""
    found: list[AnyPart] = []
    if message.quick_reply is not None and message.quick_reply.payload is not None:
        of = message.reply_to.mid if message.reply_to else None
        found.append(p.ChoiceReply(item_id=message.quick_reply.payload, title=message.text, of=of))
    elif message.text:
        found.append(p.Text(body=message.text))
    found += _attachments(scope, message)
    if message.is_unsupported or not found:
        found.append(p.Unsupported(provider_type="unsupported" if message.is_unsupported else "empty"))
    return found


def _attachments(scope: Scope, message: t.Message) -> Iterator[AnyPart]:
    stickers = {_sticker(one) for one in message.attachments if one.type == "sticker"}
    for index, one in enumerate(message.attachments):
        if one.type == "image" and _sticker(one) in stickers - {None}:
            continue  # until August 2026 a sticker comes as a picture, too
        yield _attachment(scope, f"{message.mid}/{index}", one)


def _sticker(one: t.Attachment) -> str | None:
    return None if one.payload is None or one.payload.sticker_id is None else str(one.payload.sticker_id)


def _attachment(scope: Scope, native: str, one: t.Attachment) -> AnyPart:
    payload = one.payload or t.Payload()
    url = payload.url or one.url
    if payload.coordinates is not None:
        return p.Location(lat=payload.coordinates.lat, lon=payload.coordinates.long, name=one.title)
    if one.type in _MEDIA and url and (one.type in FILES or _of_cdn(url)):
        shape = p.Sticker if payload.sticker_id is not None and one.type == "image" else _MEDIA[one.type]
        return shape(media=_media(scope, native, url, voice=one.type == "audio"))
    if one.type == "template":
        return _cards(scope, native, payload)
    if one.type == "appointment_booking":
        args = present(
            booking_id=payload.booking_id,
            status=payload.status,
            start_time=payload.start_time,
            end_time=payload.end_time,
            timezone=payload.timezone,
        )
        return p.System(event=one.type, args=args)
    if url:
        return _link(payload.title or one.title, url)
    return p.Unsupported(provider_type=one.type)


def _media(scope: Scope, native: str, url: str, *, voice: bool = False) -> p.Media:
    """Name a file; what the apps send as audio is what people recorded, as a rule, and nothing tells it apart."""
    media_id = ids.media_id(scope.raw.channel.id, native)
    return p.Media(id=media_id, status="pending", provider_id=url, expires_at=_ends(url), voice=voice)


def _of_cdn(url: str) -> bool:
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        return False
    return any(host == name or host.endswith(f".{name}") for name in CDN)


def _ends(url: str) -> datetime | None:
    """Read when the address of a file ends: ``oe`` in hexadecimal, or ``ext``; None where it does not say."""
    try:
        query = parse_qs(urlsplit(url).query)
        seconds = int(query["oe"][0], 16) if "oe" in query else int(query["ext"][0])
    except (ValueError, KeyError):
        return None
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds <= LATEST else None


def _link(title: str | None, url: str) -> p.Card:
    """Show a shared address, which Meta calls a fallback, as a card."""
    name = title or url
    return p.Card(items=(p.CardItem(title=name, items=(p.ChoiceItem(id="", title=name, url=url),)),))


def _cards(scope: Scope, native: str, payload: t.Payload) -> AnyPart:
    elements = payload.elements or tuple(
        one for one in (payload.product or {}).get("elements", ()) if isinstance(one, dict)
    )
    items = tuple(_card(scope, f"{native}/{index}", one) for index, one in enumerate(elements))
    if not any(item.title or item.media for item in items):
        return p.Unsupported(provider_type=f"template.{payload.template_type or 'unknown'}")
    return p.Card(items=items) if len(items) == 1 else p.Carousel(items=items)


def _card(scope: Scope, native: str, element: dict[str, Any]) -> p.CardItem:
    picture = _text(element.get("image_url"))
    return p.CardItem(
        title=_text(element.get("title")) or _text(element.get("retailer_id")) or "",
        body=_text(element.get("subtitle")),
        media=_media(scope, native, picture) if picture else None,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
