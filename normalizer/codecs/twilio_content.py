"""What a message of Twilio's is made of (https://www.twilio.com/docs/messaging/guides/webhook-request)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from normalizer import ids
from normalizer import parts as p
from normalizer.model import Referral
from normalizer.parts import AnyPart

Fields = Mapping[str, str]
MEDIA_MAX = 32
"""Twilio sends at most ten."""

CONTENT = frozenset({
    "Body", "NumMedia", "NumSegments", "MessageType", "ButtonText", "ButtonPayload", "ButtonType", "ListId",
    "ListTitle", "ListDescription", "Latitude", "Longitude", "Address", "Label",
})  # fmt: skip
"""Parameters that are said by the parts; `MediaUrl<n>` and `MediaContentType<n>` as well."""

_VOICE = ("audio/ogg", "audio/amr")
"""What WhatsApp and telephones (MMS) record."""
_MEDIA = re.compile(r"Media(?:Url|ContentType)\d{1,2}", re.ASCII)


def is_content(name: str) -> bool:
    """Tell whether a parameter is said by the parts."""
    return name in CONTENT or _MEDIA.fullmatch(name) is not None


def parts_of(fields: Fields, channel_id: str, native: str) -> list[AnyPart]:
    """List the parts of a message; the text beside one file is its caption, or its name."""
    kind, body = fields.get("MessageType", ""), fields.get("Body", "")
    place = _location(fields)
    if place is not None:
        return [place]
    found: list[AnyPart] = [*_choice(fields)]
    files = list(_media(fields, channel_id, native, kind))
    if len(files) == 1 and body and not found and isinstance(files[0], p.MediaPart):
        named = {"name": body} if kind == "document" else {"caption": body}
        return [replace(files[0], media=replace(files[0].media, **named))]
    if body and not found:
        found.append(p.Text(body=body))
    return [*found, *files] or [p.Unsupported(provider_type=kind or "empty")]


def _choice(fields: Fields) -> list[AnyPart]:
    title = fields.get("ButtonText") or fields.get("ListTitle") or fields.get("Body")
    item = fields.get("ButtonPayload") or fields.get("ListId")
    if item is None and "ButtonText" in fields:
        item = fields["ButtonText"]
    if item is None:
        return []
    return [p.ChoiceReply(item_id=item, title=title or None, of=fields.get("OriginalRepliedMessageSid"))]


def _location(fields: Fields) -> p.Location | None:
    try:
        lat, lon = float(fields["Latitude"]), float(fields["Longitude"])
    except (KeyError, ValueError):
        return None
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):  # also of NaN
        return None
    return p.Location(lat=lat, lon=lon, name=fields.get("Label") or None, address=fields.get("Address") or None)


def _media(fields: Fields, channel_id: str, native: str, kind: str) -> Iterator[AnyPart]:
    told = fields.get("NumMedia", "")
    count = min(int(told), MEDIA_MAX) if told.isdecimal() and len(told) < 4 else 0
    for index in range(max(count, 1 if "MediaUrl0" in fields else 0)):
        url, mime = fields.get(f"MediaUrl{index}"), fields.get(f"MediaContentType{index}")
        if not url:  # an event of Event Streams says how many there are, and no more
            yield p.Unsupported(provider_type="media", hint="Twilio names no URL for it")
            continue
        yield _file(p.Media(
            id=ids.media_id(channel_id, f"{native}/{index}"),
            mime=mime,
            status="pending",
            provider_id=url,
            voice=(mime or "").startswith(_VOICE) and kind in {"audio", ""},
        ), kind)  # fmt: skip


def _file(media: p.Media, kind: str) -> p.MediaPart:
    if kind == "sticker":
        return p.Sticker(media=media)
    main = (media.mime or "").partition("/")[0]
    kinds: dict[str, type[p.Image | p.Audio | p.Video]] = {"image": p.Image, "audio": p.Audio, "video": p.Video}
    return kinds.get(main, p.File)(media=media)


def referral(fields: Fields) -> Referral | None:
    """Read what brought a person here: an ad or a post that opens WhatsApp."""
    url, source = fields.get("ReferralSourceUrl"), fields.get("ReferralSourceId")
    if not (url or source):
        return None
    sort = fields.get("ReferralSourceType", "")
    return Referral(
        source="post" if sort == "post" else "ad",
        ref=fields.get("ReferralCtwaClid"),
        ad_id=source if sort != "post" else None,
        url=url,
    )
