"""From the model to the Messaging API (https://developers.line.biz/en/reference/messaging-api/#message-objects)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs.line_frame import SCHEME
from normalizer.codecs.line_template import Object, cards, choice, secure, short, text_object
from normalizer.errors import Unsendable
from normalizer.methods import Params, ReceiptSendParams, TypingParams
from normalizer.model import Address
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split, utf16_length

TEXT_MAX = 5000
"""UTF-16 units of a text (https://developers.line.biz/en/docs/messaging-api/text-character-count/)."""
PER_CALL = 5
"""Message objects of one call; each counts as its own bubble, and all of a call as one message of the quota."""
PLACE_MAX = 100
ASSUMED_MS = 60_000
"""Shown as the length of a recording whose `duration_ms` the core does not say; LINE wants one."""
TYPING_SECS = 20

SENDABLE = ("text", "image", "audio", "video", "sticker", "location", "choice", "card", "carousel")
REQUESTS = ("typing.send", "receipt.send")
PUSH, TYPING, READ = "/v2/bot/message/push", "/v2/bot/chat/loading/start", "/v2/bot/chat/markAsRead"
REPLY = "/v2/bot/message/reply"
RETRY_KEY = "X-Line-Retry-Key"


def send(message: Outbound) -> list[Wire]:
    """Render a message as push messages, in order; raises `Unsendable`.

    `metadata.line` may have ``notificationDisabled`` (``true``), ``quoteToken`` of the message to be quoted, and
    ``previewImageUrl`` for a video.
    """
    to, own = recipient(message.to), message.metadata.get(SCHEME, {})
    objects = [one for part in message.parts for one in _objects(part, own)]
    if not objects:
        raise Unsendable("blank text", SENDABLE)
    if own.get("quoteToken") and objects[0]["type"] in {"text", "sticker"}:
        objects[0]["quoteToken"] = own["quoteToken"]
    silent = {"notificationDisabled": True} if own.get("notificationDisabled") == "true" else {}
    calls = [objects[start : start + PER_CALL] for start in range(0, len(objects), PER_CALL)]
    return [_push({"to": to, "messages": call, **silent}, message.id, number) for number, call in enumerate(calls)]


def _push(body: dict[str, Any], message_id: str, number: int) -> Wire:
    wire = build.post(PUSH, body)
    return replace(wire, headers={**wire.headers, RETRY_KEY: retry_key(message_id, number)})


def retry_key(message_id: str, number: int) -> str:
    """Name a call so that LINE performs it once, however often it is made.

    https://developers.line.biz/en/docs/messaging-api/retrying-api-request/
    """
    return str(UUID(hex=ids.digest("line-retry", message_id, str(number)), version=4))


def recipient(to: Address) -> str:
    """Read the id of a person, a group or a room; raises `Unsendable`."""
    if to.scheme != SCHEME or not to.value:
        raise Unsendable("an address that is no LINE id", ("line:<user, group or room id>",))
    return to.value


def request(method: str, params: Params, read_token: str = "") -> Wire:
    """Render another request; raises `Unsendable`."""
    match params:
        case TypingParams(to=to) if to is not None:
            chat = recipient(to if isinstance(to, Address) else Address(scheme=SCHEME, value=to))
            if not chat.startswith("U"):
                raise Unsendable("typing.send to a group", ("typing.send to a person",))
            return build.post(TYPING, {"chatId": chat, "loadingSeconds": TYPING_SECS})
        case ReceiptSendParams() if read_token:
            return build.post(READ, {"markAsReadToken": read_token})
        case ReceiptSendParams():
            raise Unsendable("receipt.send for a message of more than a day ago", ("receipt.send for a newer message",))
        case _:
            raise Unsendable(method, REQUESTS)


def _objects(part: AnyPart, own: Mapping[str, str]) -> Iterator[Object]:
    tag = str(part.__struct_config__.tag)
    match part:
        case p.Text(body=body):
            yield from _texts(body)
        case p.Image() | p.Audio() | p.Video():
            yield _media(part, own)
            yield from _texts(part.media.caption or "")
        case p.Sticker(media=media):
            yield _sticker(media)
        case p.Location():
            yield _location(part)
        case p.Choice():
            *before, question = [*split(part.body, TEXT_MAX, utf16_length)] or [""]
            yield from (text_object(piece) for piece in before)
            yield choice(replace(part, body=question))
        case p.Card() | p.Carousel():
            yield cards(part.items)
        case _:
            raise Unsendable(tag, SENDABLE)


def _texts(body: str) -> Iterator[Object]:
    yield from (text_object(piece) for piece in split(body, TEXT_MAX, utf16_length) if piece.strip())


def _media(part: p.Image | p.Audio | p.Video, own: Mapping[str, str]) -> Object:
    tag = str(part.__struct_config__.tag)
    url = secure(part.media.url, tag)
    if isinstance(part, p.Audio):
        return {"type": tag, "originalContentUrl": url, "duration": part.media.duration_ms or ASSUMED_MS}
    preview = own.get("previewImageUrl") if isinstance(part, p.Video) else None
    return {"type": tag, "originalContentUrl": url, "previewImageUrl": preview or url}


def _sticker(media: p.Media) -> Object:
    package, slash, sticker = (media.provider_id or "").partition("/")
    if not (slash and package.isdecimal() and sticker.isdecimal()):
        raise Unsendable("sticker without `provider_id`", ("<package id>/<sticker id> as `provider_id`",))
    return {"type": "sticker", "packageId": package, "stickerId": sticker}


def _location(part: p.Location) -> Object:
    point = f"{part.lat:.6f}, {part.lon:.6f}"
    title, address = part.name or part.address or point, part.address or part.name or point
    words = {"title": short(title, PLACE_MAX), "address": short(address, PLACE_MAX)}
    return {"type": "location", **words, "latitude": part.lat, "longitude": part.lon}
