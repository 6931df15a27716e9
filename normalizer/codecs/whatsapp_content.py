"""From the content of a WhatsApp message to parts.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from normalizer import ids
from normalizer import parts as p
from normalizer.build import bounded
from normalizer.codecs import whatsapp_content_types as t
from normalizer.codecs.meta import maybe, present
from normalizer.errors import MalformedPayload
from normalizer.parts import AnyPart

MEDIA_DAYS = timedelta(days=7)
"""How long the media ids of webhooks are good; those of uploads last 30 days
(https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media)."""

_MEDIA: dict[str, type[p.Image | p.Audio | p.Video | p.File | p.Sticker]] = {
    "image": p.Image,
    "audio": p.Audio,
    "voice": p.Audio,
    "video": p.Video,
    "document": p.File,
    "sticker": p.Sticker,
}
_DECIMALS = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
         "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}  # fmt: skip
"""Decimals of currencies that do not have two (ISO 4217)."""

PRICE_MAX = Decimal(10) ** 15
_object = msgspec.json.Decoder(dict[str, Any])


def content(message: t.Content, channel_id: str, sent_at: datetime) -> list[AnyPart]:  # noqa: PLR0911 -- one per type
    """List the parts of a message; raises `MalformedPayload` when the part its `type` names is missing."""
    kind = message.type
    if kind in _MEDIA:
        return [_media(kind, _there(getattr(message, kind), kind), channel_id, sent_at)]
    match kind:
        case "text":
            return [p.Text(body=_there(message.text, kind).body)]
        case "location":
            place = _there(message.location, kind)
            return [p.Location(lat=place.latitude, lon=place.longitude, name=place.name, address=place.address)]
        case "contacts":
            return [_contact(card) for card in message.contacts] or [_unknown(message)]
        case "interactive":
            return [_interactive(message)]
        case "button":
            button = _there(message.button, kind)
            return [p.ChoiceReply(item_id=button.payload or button.text or "", title=button.text, of=_of(message))]
        case "order":
            return _order(_there(message.order, kind))
        case "system":
            system = _there(message.system, kind)
            return [p.System(event=system.type or "system", args=present(body=system.body))]
        case _:
            return [_unknown(message)]


def _there(found: t.T | None, kind: str) -> t.T:
    if found is None:
        raise MalformedPayload(f"Object missing required field `{kind}`")
    return found


def _of(message: t.Content) -> str | None:
    return message.context.id if message.context else None


def _media(kind: str, file: t.File, channel_id: str, sent_at: datetime) -> AnyPart:
    media = p.Media(
        id=ids.media_id(channel_id, str(file.id)),
        mime=(file.mime_type or "").partition(";")[0].strip() or None,
        name=file.filename or None,
        caption=file.caption or None,
        voice=file.voice or kind == "voice",
        status="pending",
        expires_at=sent_at + MEDIA_DAYS,
        provider_id=str(file.id),
    )
    return _MEDIA[kind](media=media)


def _contact(card: t.Card) -> p.Contact:
    name = card.name.formatted_name or " ".join(filter(None, (card.name.first_name, card.name.last_name)))
    phones = tuple(phone.phone or f"+{phone.wa_id}" for phone in card.phones if phone.phone or phone.wa_id)
    emails = tuple(email.email for email in card.emails if email.email)
    return p.Contact(name=name or next(iter(phones), ""), phones=phones, emails=emails, vcard=card.vcard)


def _interactive(message: t.Content) -> AnyPart:
    found = _there(message.interactive, "interactive")
    reply = found.button_reply or found.list_reply
    if reply is not None:
        return p.ChoiceReply(item_id=reply.id, title=reply.title, of=_of(message))
    if found.nfm_reply is not None:
        return _form(found.nfm_reply)
    if found.call_permission_reply is not None:
        return p.System(event="call_permission_reply", args=bounded(found.call_permission_reply))
    return p.Unsupported(provider_type=f"interactive.{found.type or 'unknown'}")


def _form(form: t.FormReply) -> p.FormReply:
    """Read a filled-in form, which is JSON in a string; what is none is handed on as it is."""
    data = maybe(form.response_json.encode("utf-8", "replace"), _object)
    return p.FormReply(form_id=form.name, data={"response_json": form.response_json} if data is None else bounded(data))


def _order(order: t.Order) -> list[AnyPart]:
    items = tuple(
        p.OrderItem(
            product_id=str(item.product_retailer_id),
            quantity=item.quantity,
            price=_price(item),
            currency=item.currency,
        )
        for item in order.product_items
    )
    found: list[AnyPart] = [p.Order(items=items)]
    return [*found, p.Text(body=order.text)] if order.text else found


def _price(item: t.Item) -> int | None:
    """Return the price in the smallest unit of its currency."""
    price = item.item_price
    if price is None:
        return None
    if not price.is_finite() or abs(price) > PRICE_MAX:
        raise MalformedPayload("not a price - at `$.order.product_items[...].item_price`")
    return round(price.scaleb(_DECIMALS.get(item.currency or "", 2)))


def _unknown(message: t.Content) -> p.Unsupported:
    told = message.unsupported.type if message.unsupported else None
    error = next(iter(message.errors), None)
    return p.Unsupported(provider_type=told or message.type, hint=f"{error.code}: {error.text}" if error else None)
