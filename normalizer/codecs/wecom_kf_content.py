"""What a message of WeCom customer service is made of, by its `msgtype`.

https://developer.work.weixin.qq.com/document/path/94670
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from normalizer import ids
from normalizer import parts as p
from normalizer.codecs.wecom_kf_frame import Fields, Frame, nested, read, rows, text
from normalizer.errors import MalformedPayload
from normalizer.parts import AnyPart

MEDIA_DAYS = timedelta(days=3)
"""How long WeCom keeps temporary media (https://developer.work.weixin.qq.com/document/path/90254)."""


def parts_of(frame: Frame) -> list[AnyPart]:
    """Read the content; a type nobody knows becomes `unsupported`. Raises `MalformedPayload` naming the field."""
    make = _READ.get(frame.kind)
    return [p.Unsupported(provider_type=frame.kind)] if make is None else make(frame)


def _text(frame: Frame) -> list[AnyPart]:
    body, item = text(frame.content, "content"), text(frame.content, "menu_id")
    return [p.ChoiceReply(item_id=item, title=body or None)] if item else [p.Text(body=body)]


def _media(frame: Frame, name: str = "media_id", mime: str | None = None, *, voice: bool = False) -> p.Media:
    native = text(frame.content, name)
    if not native:
        raise MalformedPayload(f"{frame.kind}.{name} is missing")
    return p.Media(
        id=ids.media_id(frame.raw.channel.id, native),
        mime=mime,
        voice=voice,
        status="pending",
        provider_id=native,
        expires_at=frame.raw.received_at + MEDIA_DAYS,
    )


def _location(frame: Frame) -> list[AnyPart]:
    content = frame.content
    try:
        lat, lon = float(text(content, "latitude")), float(text(content, "longitude"))
    except ValueError:
        raise MalformedPayload("latitude or longitude is not a number") from None
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise MalformedPayload("latitude or longitude is out of range")
    name, address = text(content, "name") or None, text(content, "address") or None
    return [p.Location(lat=lat, lon=lon, name=name, address=address)]


def _card(
    title: str, *, body: str = "", url: str = "", picture: p.Media | None = None, path: str = ""
) -> list[AnyPart]:
    links = (p.ChoiceItem(id=url or path, title=title or url or path, url=url or None),) if url or path else ()
    return [p.Card(items=(p.CardItem(title=title or url or path, body=body or None, media=picture, items=links),))]


def _linked(frame: Frame, name: str) -> p.Media | None:
    """Describe a picture by its URL."""
    url = text(frame.content, name)
    if not url:
        return None
    return p.Media(id=ids.media_id(frame.raw.channel.id, url), status="pending", provider_id=url)


def _link(frame: Frame) -> list[AnyPart]:
    content = frame.content
    picture = _media(frame, "thumb_media_id") if text(content, "thumb_media_id") else _linked(frame, "pic_url")
    return _card(text(content, "title"), body=text(content, "desc"), url=text(content, "url"), picture=picture)


def _mini(frame: Frame) -> list[AnyPart]:
    content = frame.content
    picture = _media(frame, "thumb_media_id") if text(content, "thumb_media_id") else None
    return _card(text(content, "title"), path=text(content, "pagepath"), picture=picture)


def _menu(frame: Frame) -> list[AnyPart]:
    items = [_menu_item(row) for row in rows(frame.content, "list")]
    plain = [text(nested(row, "text"), "content") for row in rows(frame.content, "list") if text(row, "type") == "text"]
    words = [text(frame.content, "head_content"), *plain, text(frame.content, "tail_content")]
    body = "\n".join(word for word in words if word)
    return [p.Choice(kind="buttons", body=body, items=tuple(item for item in items if item is not None))]


def _menu_item(row: Fields) -> p.ChoiceItem | None:
    own = nested(row, text(row, "type")) if text(row, "type") != "text" else {}
    content = text(own, "content")
    native = text(own, "id") or text(own, "url") or text(own, "pagepath") or content
    return p.ChoiceItem(id=native, title=content, url=text(own, "url") or None) if native else None


def _business_card(frame: Frame) -> list[AnyPart]:
    return [p.Contact(name=text(frame.content, "userid"))]


def _product(frame: Frame) -> list[AnyPart]:
    body = " · ".join(filter(None, (text(frame.content, "sales_price"), text(frame.content, "shop_nickname"))))
    return _card(text(frame.content, "title"), body=body, picture=_linked(frame, "head_image"))


def _order(frame: Frame) -> list[AnyPart]:
    names = ("order_id", "price_wording", "state", "shop_nickname")
    body = " · ".join(filter(None, (text(frame.content, name) for name in names)))
    return _card(text(frame.content, "product_titles"), body=body, picture=_linked(frame, "image_url"))


def _channels(frame: Frame) -> list[AnyPart]:
    return _card(text(frame.content, "title"), body=text(frame.content, "nickname"))


def _merged(frame: Frame) -> list[AnyPart]:
    """Read messages that were passed on; their media cannot be fetched, so that texts are all there is."""
    lines = [text(frame.content, "title")]
    for row in rows(frame.content, "item"):
        try:
            said = text(nested(read(text(row, "msg_content").encode()), "text"), "content")
        except MalformedPayload:
            said = ""
        lines.append(f"{text(row, 'sender_name')}: {said or '[' + text(row, 'msgtype') + ']'}")
    return [p.Text(body="\n".join(line for line in lines if line))]


_READ: dict[str, Callable[[Frame], list[AnyPart]]] = {
    "text": _text,
    "image": lambda frame: [p.Image(media=_media(frame))],
    "voice": lambda frame: [p.Audio(media=_media(frame, mime="audio/amr", voice=True))],
    "video": lambda frame: [p.Video(media=_media(frame))],
    "file": lambda frame: [p.File(media=_media(frame))],
    "location": _location,
    "link": _link,
    "miniprogram": _mini,
    "msgmenu": _menu,
    "business_card": _business_card,
    "channels_shop_product": _product,
    "channels_shop_order": _order,
    "channels": _channels,
    "merged_msg": _merged,
}
