"""From the model to the Send API of Messenger and Instagram.

https://developers.facebook.com/docs/messenger-platform/reference/send-api
https://developers.facebook.com/docs/messenger-platform/instagram/features/send-message
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from normalizer import build
from normalizer import parts as p
from normalizer.codecs.messaging_scope import Kind
from normalizer.codecs.meta import present
from normalizer.errors import Unsendable
from normalizer.methods import Params, ReactParams, ReceiptSendParams, TypingParams
from normalizer.model import Address
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split

PATH = "/me/messages"
TEXT_MAX: dict[Kind, int] = {"messenger": 2000, "instagram": 1000}
"""Characters (Messenger), bytes of UTF-8 (Instagram)."""

SENDABLE = ("text", "image", "audio", "video", "file", "sticker", "choice", "card", "carousel")
REQUESTS = ("typing.send", "receipt.send", "reaction.send")
CHOICES = {"quick_replies": 13, "buttons": 3, "cta_url": 3}
"""Most items, by kind of choice."""

TITLE_MAX, PAYLOAD_MAX, BUTTON_TEXT_MAX, CARD_MAX, CARDS_MAX = 20, 1000, 640, 80, 10
TAGS = frozenset(
    {"HUMAN_AGENT", "ACCOUNT_UPDATE", "CONFIRMED_EVENT_UPDATE", "POST_PURCHASE_UPDATE", "CUSTOMER_FEEDBACK"}
)
TYPES = frozenset({"RESPONSE", "UPDATE", "UTILITY"})
HEARTS = frozenset({"❤", "❤️", "love"})
"""What Instagram lets a business react with; Messenger takes any emoji."""

_MEDIA = {"image": "image", "audio": "audio", "video": "video", "file": "file", "sticker": "image"}


def send(message: Outbound, kind: Kind) -> list[Wire]:
    """Render a message, in order; raises `Unsendable`.

    To Messenger its id goes with it (``metadata``), so that its echo is known again.
    """
    own = message.metadata.get(kind, {})
    bodies = [body for part in message.parts for body in _bodies(part, kind)]
    if not bodies:
        raise Unsendable("blank text", SENDABLE)
    common = {"recipient": recipient(message.to, kind), **_sort(own)}
    ours = {"metadata": message.id} if kind == "messenger" else {}
    reply = message.reply_to.provider_id if message.reply_to else None
    wires = []
    for index, body in enumerate(bodies):
        answers = {"reply_to": {"mid": reply}} if reply and index == 0 else {}
        wires.append(build.post(PATH, {**common, **answers, "message": {**body, **ours}}))
    return wires


def recipient(to: Address, kind: Kind) -> dict[str, str]:
    """Read an address; raises `Unsendable`."""
    if to.scheme == kind and to.value:
        return {"id": to.value}
    if to.scheme == f"{kind}-user-ref" and to.value:
        return {"user_ref": to.value}
    raise Unsendable(f"an address of scheme {to.scheme!r}", (f"{kind}:<id of the person>", f"{kind}-user-ref:<ref>"))


def _sort(own: Mapping[str, str]) -> dict[str, str]:
    """Say why we write: in answer within 24 h, or with a tag later (`metadata.<kind>.tag`)."""
    tag, sort = own.get("tag"), own.get("messaging_type", "RESPONSE")
    if tag is not None:
        if tag not in TAGS:
            raise Unsendable(f"the tag {tag[:40]!r}", tuple(sorted(TAGS)))
        return {"messaging_type": "MESSAGE_TAG", "tag": tag}
    if sort not in TYPES:
        raise Unsendable(f"the messaging type {sort[:40]!r}", tuple(sorted(TYPES)))
    return {"messaging_type": sort}


def _bodies(part: AnyPart, kind: Kind) -> Iterator[dict[str, Any]]:
    match part:
        case p.Text(body=body):
            yield from _text(body, kind)
        case p.Choice():
            yield from _choice(part, kind)
        case p.Card() | p.Carousel():
            yield _template({"template_type": "generic", "elements": _cards(part.items)})
        case p.Image() | p.Audio() | p.Video() | p.File() | p.Sticker():
            yield _media(part)
            yield from _text(part.media.caption or "", kind)
        case _:
            raise Unsendable(str(part.__struct_config__.tag), SENDABLE)


def utf8_length(text: str) -> int:
    """Count bytes of UTF-8, as Instagram does."""
    return len(text.encode("utf-8", "replace"))


def _pieces(body: str, limit: int, kind: Kind) -> list[str]:
    length = utf8_length if kind == "instagram" else len
    return [piece for piece in split(body, limit, length) if piece.strip()]


def _text(body: str, kind: Kind) -> Iterator[dict[str, Any]]:
    for piece in _pieces(body, TEXT_MAX[kind], kind):
        yield {"text": piece}


def _media(part: p.MediaPart) -> dict[str, Any]:
    media, tag = part.media, str(part.__struct_config__.tag)
    if media.url:  # what was received has an address as its provider_id
        payload: dict[str, Any] = {"url": media.url}
    elif media.provider_id and media.provider_id.isdecimal():
        payload = {"attachment_id": media.provider_id}
    elif media.provider_id and media.provider_id.startswith("https://"):
        payload = {"url": media.provider_id}
    else:
        raise Unsendable(f"{tag} without `provider_id` or `url`", SENDABLE)
    return {"attachment": {"type": _MEDIA[tag], "payload": payload}}


def _choice(part: p.Choice, kind: Kind) -> Iterator[dict[str, Any]]:
    most = CHOICES.get(part.kind)
    if most is None:
        raise Unsendable(f"choice of kind {part.kind}", tuple(CHOICES))
    if not 1 <= len(part.items) <= most:
        raise Unsendable(f"{part.kind} with {len(part.items)} items", (f"{part.kind} with 1 to {most}",))
    limit = TEXT_MAX[kind] if part.kind == "quick_replies" else BUTTON_TEXT_MAX
    pieces = _pieces(part.body, limit, kind)
    if not pieces:
        raise Unsendable("a choice without a question", SENDABLE)
    *before, question = pieces
    if part.kind == "quick_replies":
        replies = [{"content_type": "text", "title": _title(item), "payload": _payload(item)} for item in part.items]
        last = {"text": question, "quick_replies": replies}
    else:
        buttons = [_button(item, link=part.kind == "cta_url") for item in part.items]
        last = _template({"template_type": "button", "text": question, "buttons": buttons})
    yield from ({"text": piece} for piece in before)
    yield last


def _template(payload: dict[str, Any]) -> dict[str, Any]:
    return {"attachment": {"type": "template", "payload": payload}}


def _button(item: p.ChoiceItem, *, link: bool = False) -> dict[str, Any]:
    if item.url:
        return {"type": "web_url", "url": item.url, "title": _title(item)}
    if link:
        raise Unsendable("choice of kind cta_url with an item without `url`", tuple(CHOICES))
    return {"type": "postback", "title": _title(item), "payload": _payload(item)}


def _title(item: p.ChoiceItem) -> str:
    if not 1 <= len(item.title) <= TITLE_MAX:
        raise Unsendable(f"an item title of {len(item.title)} characters", (f"1 to {TITLE_MAX} characters",))
    return item.title


def _payload(item: p.ChoiceItem) -> str:
    if not 1 <= len(item.id) <= PAYLOAD_MAX:
        raise Unsendable(f"an item id of {len(item.id)} characters", (f"1 to {PAYLOAD_MAX} characters",))
    return item.id


def _cards(items: tuple[p.CardItem, ...]) -> list[dict[str, Any]]:
    if not 1 <= len(items) <= CARDS_MAX:
        raise Unsendable(f"{len(items)} cards", (f"1 to {CARDS_MAX} cards",))
    return [_card(item) for item in items]


def _card(item: p.CardItem) -> dict[str, Any]:
    if not 1 <= len(item.title) <= CARD_MAX or len(item.body or "") > CARD_MAX:
        raise Unsendable("a card whose title or text is too long, or without title", (f"{CARD_MAX} characters each",))
    if len(item.items) > CHOICES["buttons"]:
        raise Unsendable(f"a card with {len(item.items)} buttons", (f"at most {CHOICES['buttons']}",))
    buttons = [_button(one) for one in item.items]
    picture = item.media.url or item.media.provider_id if item.media else None
    return {"title": item.title, **present(subtitle=item.body, image_url=picture, buttons=buttons)}


def request(method: str, params: Params, kind: Kind) -> Wire:
    """Render a request other than `message.send` as a sender action; raises `Unsendable`.

    https://developers.facebook.com/docs/messenger-platform/send-messages/sender-actions
    """
    if method not in REQUESTS or not isinstance(params, TypingParams | ReceiptSendParams | ReactParams):
        raise Unsendable(method, REQUESTS)
    if params.to is None:
        raise Unsendable(f"{method} without `to`", (f"{method} with `to` or `conversation`",))
    to = params.to if isinstance(params.to, Address) else Address(scheme=kind, value=params.to)
    return build.post(PATH, {"recipient": recipient(to, kind), **_action(method, params, kind)})


def _action(method: str, params: TypingParams | ReceiptSendParams | ReactParams, kind: Kind) -> dict[str, Any]:
    if isinstance(params, TypingParams):
        return {"sender_action": "typing_on"}
    if isinstance(params, ReceiptSendParams):
        return {"sender_action": "mark_seen"}
    native, emoji = params.message.provider_id, params.emoji
    if not native:
        raise Unsendable(f"{method} without the message's `provider_id`", ("message.provider_id",))
    if not emoji:
        return {"sender_action": "unreact", "payload": {"message_id": native}}
    if kind == "instagram":
        if emoji not in HEARTS:
            raise Unsendable("a reaction other than a heart", tuple(sorted(HEARTS)))
        emoji = "love"
    return {"sender_action": "react", "payload": {"message_id": native, "reaction": emoji}}
