"""What a WeChat message is made of, by its `MsgType`.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html
https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/customer-message/receive.html
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from normalizer import ids
from normalizer import parts as p
from normalizer.codecs.wechat_xml import Fields, text
from normalizer.errors import MalformedPayload
from normalizer.parts import AnyPart
from normalizer.raw import RawEvent

MEDIA_DAYS = timedelta(days=3)
"""How long WeChat keeps temporary media (https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/Get_temporary_materials.html)."""
LATEST = 32_503_680_000
"""The year 3000: what is later is no time."""
ENVELOPE = frozenset({"ToUserName", "FromUserName", "CreateTime", "MsgType", "MsgId", "MsgID", "Content", "Event"})
"""Fields that are in the message itself; all others go to `metadata.wechat` under WeChat's own names."""


def parts_of(raw: RawEvent, fields: Fields) -> list[AnyPart]:
    """Read the content; a type nobody knows becomes `unsupported`. Raises `MalformedPayload` naming the field."""
    kind = text(fields, "MsgType")
    read = _READ.get(kind)
    return [p.Unsupported(provider_type=kind)] if read is None else read(raw, fields)


def extras(fields: Fields) -> dict[str, Any]:
    """Return `metadata` with every field that has no place in the model."""
    found = {name: value for name, value in fields.items() if name not in ENVELOPE and value not in ("", {}, None)}
    return {"wechat": found} if found else {}


def moment(created: str) -> datetime | None:
    """Read a `CreateTime`; None if it is no time."""
    if not created.isascii() or not created.isdecimal() or int(created[:12]) > LATEST:
        return None
    return datetime.fromtimestamp(int(created), UTC)


def place(fields: Fields, lat: str, lon: str, *, name: str | None = None, address: str | None = None) -> p.Location:
    """Read coordinates; raises `MalformedPayload`."""
    try:
        north, east = float(text(fields, lat)), float(text(fields, lon))
    except ValueError:
        raise MalformedPayload(f"{lat} or {lon} is not a number") from None
    if not (-90 <= north <= 90 and -180 <= east <= 180):
        raise MalformedPayload(f"{lat} or {lon} is out of range")
    return p.Location(lat=north, lon=east, name=name, address=address)


def _text(_: RawEvent, fields: Fields) -> list[AnyPart]:
    body, item = text(fields, "Content"), text(fields, "bizmsgmenuid")
    return [p.ChoiceReply(item_id=item, title=body or None)] if item else [p.Text(body=body)]


def _media(raw: RawEvent, fields: Fields, mime: str | None, **more: Any) -> p.Media:
    native = text(fields, "MediaId")
    if not native:
        raise MalformedPayload("MediaId is missing")
    return p.Media(
        id=ids.media_id(raw.channel.id, native),
        mime=mime,
        status="pending",
        provider_id=native,
        expires_at=raw.received_at + MEDIA_DAYS,
        **more,
    )


def _image(raw: RawEvent, fields: Fields) -> list[AnyPart]:
    return [p.Image(media=_media(raw, fields, None))]


def _voice(raw: RawEvent, fields: Fields) -> list[AnyPart]:
    form = text(fields, "Format").lower()
    mime = f"audio/{form}" if form.isalnum() else None
    return [p.Audio(media=_media(raw, fields, mime, voice=True, transcript=text(fields, "Recognition") or None))]


def _video(raw: RawEvent, fields: Fields) -> list[AnyPart]:
    return [p.Video(media=_media(raw, fields, "video/mp4"))]


def _location(_: RawEvent, fields: Fields) -> list[AnyPart]:
    return [place(fields, "Location_X", "Location_Y", address=text(fields, "Label") or None)]


def _link(_: RawEvent, fields: Fields) -> list[AnyPart]:
    url, title = text(fields, "Url"), text(fields, "Title")
    items = (p.ChoiceItem(id=url, title=title or url, url=url),) if url else ()
    return [p.Card(items=(p.CardItem(title=title or url, body=text(fields, "Description") or None, items=items),))]


def _page(raw: RawEvent, fields: Fields) -> list[AnyPart]:
    """Read a card of a mini program; its picture is a media of its own."""
    title, path, thumb = text(fields, "Title"), text(fields, "PagePath"), text(fields, "ThumbMediaId")
    picture = _media(raw, {"MediaId": thumb}, None) if thumb else None
    items = (p.ChoiceItem(id=path, title=title or path),) if path else ()
    return [p.Card(items=(p.CardItem(title=title or path, media=picture, items=items),))]


_READ: dict[str, Callable[[RawEvent, Fields], list[AnyPart]]] = {
    "text": _text,
    "image": _image,
    "voice": _voice,
    "video": _video,
    "shortvideo": _video,
    "location": _location,
    "link": _link,
    "miniprogrampage": _page,
}
