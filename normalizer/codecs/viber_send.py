"""From the model to Viber's ``send_message`` (https://developers.viber.com/docs/api/rest-bot-api/#send-message)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from normalizer import build
from normalizer import parts as p
from normalizer.codecs.viber_keyboard import Object, cards, keyboard
from normalizer.errors import Unsendable
from normalizer.model import Address
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split

SCHEME = "viber"
TEXT_MAX, CAPTION_MAX, NAME_MAX, PHONE_MAX, FILE_NAME_MAX = 7000, 512, 28, 18, 256
"""Characters."""
TRACKING_MAX = 4096
SENDABLE = (
    "text", "image", "video", "audio", "file", "sticker", "location", "contact", "choice", "card", "carousel",
)  # fmt: skip
SEND = "/send_message"


def send(message: Outbound, sender: Mapping[str, str]) -> list[Wire]:
    """Render a message as calls, in order; raises `Unsendable`.

    `metadata.viber.tracking_data` comes back with what the person answers.
    """
    receiver = recipient(message.to)
    return [build.post(SEND, {"receiver": receiver, **body}) for body in _bodies(message, sender)]


def passive(message: Outbound, sender: Mapping[str, str], user: str) -> Object | None:
    """Render a message as the answer to ``conversation_started`` of `user`; None if it is not one message to them."""
    if message.to.scheme != SCHEME or message.to.value != user:
        return None
    try:
        bodies = _bodies(message, sender)
    except Unsendable:
        return None
    return bodies[0] if len(bodies) == 1 else None


def recipient(to: Address) -> str:
    """Read a user id; raises `Unsendable`."""
    if to.scheme != SCHEME or not to.value:
        raise Unsendable("an address that is no Viber user id", ("viber:<user id>",))
    return to.value


def _bodies(message: Outbound, sender: Mapping[str, str]) -> list[Object]:
    tracking = message.metadata.get(SCHEME, {}).get("tracking_data", "")
    if len(tracking) > TRACKING_MAX:
        raise Unsendable(f"tracking_data of more than {TRACKING_MAX} characters", ("less tracking_data",))
    common = {"min_api_version": 1, "sender": sender, **({"tracking_data": tracking} if tracking else {})}
    found = [{**common, **body} for part in message.parts for body in _contents(part)]
    if not found:
        raise Unsendable("blank text", SENDABLE)
    return found


def _contents(part: AnyPart) -> Iterator[Object]:
    match part:
        case p.Text(body=body):
            yield from _texts(body)
        case p.Image() | p.Video() | p.Audio() | p.File():
            yield from _media(part)
        case p.Sticker(media=media):
            yield {"type": "sticker", "sticker_id": _sticker(media)}
        case p.Location():
            yield from _texts("\n".join(filter(None, (part.name, part.address))))
            yield {"type": "location", "location": {"lat": part.lat, "lon": part.lon}}
        case p.Contact():
            yield from _contact(part)
        case p.Choice():
            *before, question = [*_texts(part.body)] or [{}]
            if not question:
                raise Unsendable("a choice without a question", ("a `body`",))
            yield from before
            yield {**question, **keyboard(part)}
        case p.Card() | p.Carousel():
            yield cards(part.items)
        case _:
            raise Unsendable(str(part.__struct_config__.tag), SENDABLE)


def _texts(body: str) -> Iterator[Object]:
    yield from ({"type": "text", "text": piece} for piece in split(body, TEXT_MAX) if piece.strip())


def _media(part: p.Image | p.Video | p.Audio | p.File) -> Iterator[Object]:
    media, tag = part.media, str(part.__struct_config__.tag)
    if not media.url:
        raise Unsendable(f"{tag} without `url`", ("a `url`, or a file of ours",))
    caption = media.caption or ""
    if isinstance(part, p.Image):
        fits = len(caption) <= CAPTION_MAX
        yield {"type": "picture", "text": caption if fits else "", "media": media.url}
        caption = "" if fits else caption
    else:
        yield _sized(part, media, tag)
    yield from _texts(caption)


def _sized(part: p.Video | p.Audio | p.File, media: p.Media, tag: str) -> Object:
    """Write a video, or anything else as a file; Viber wants to know the size of both."""
    if media.size is None:
        raise Unsendable(f"{tag} without `size`", ("`size` in bytes",))
    if isinstance(part, p.Video):
        duration = {} if media.duration_ms is None else {"duration": max(1, round(media.duration_ms / 1000))}
        return {"type": "video", "media": media.url, "size": media.size, **duration}
    name = media.name or (media.url or "").partition("?")[0].rpartition("/")[2] or tag
    return {"type": "file", "media": media.url, "size": media.size, "file_name": name[-FILE_NAME_MAX:]}


def _sticker(media: p.Media) -> int:
    native = media.provider_id or ""
    if not (native.isascii() and native.isdecimal() and len(native) < 16):
        raise Unsendable("sticker without `provider_id`", ("the number of a sticker as `provider_id`",))
    return int(native)


def _contact(part: p.Contact) -> Iterator[Object]:
    if not part.phones:
        raise Unsendable("contact without a phone number", ("`phones`",))
    for phone in part.phones:
        if len(phone) > PHONE_MAX:
            raise Unsendable(f"a phone number of more than {PHONE_MAX} characters", ("a shorter one",))
        yield {"type": "contact", "contact": {"name": _cut(part.name or phone, NAME_MAX), "phone_number": phone}}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else next(split(text, limit - 1)).rstrip() + "…"
