"""From the model to the Cloud API (https://developers.facebook.com/documentation/business-messaging/whatsapp/messages).

Who has no number is addressed by ``recipient`` with the business-scoped user id, everybody else by ``to``:
https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from normalizer import build
from normalizer import parts as p
from normalizer.codecs.meta import present
from normalizer.codecs.whatsapp_interactive import body_max, interactive
from normalizer.codecs.whatsapp_scope import BSUID, GROUP, SCHEME, TEL
from normalizer.errors import Unsendable
from normalizer.methods import Params, ReactParams, ReceiptSendParams, TypingParams
from normalizer.model import Address, MessageRef
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split

TEXT_MAX, CAPTION_MAX = 4096, 1024
SENDABLE = ("text", "image", "audio", "video", "file", "sticker", "location", "contact", "choice", "template")
REQUESTS = ("reaction.send", "typing.send", "receipt.send")
HEAD = {"messaging_product": "whatsapp"}
CAPTIONED = frozenset({"image", "video", "document"})
ADDRESSES = ("whatsapp:<phone number, BSUID or group>", "tel:+<number>", "whatsapp-bsuid:<BSUID>")

_NUMBER = re.compile(r"\+?(\d{3,20})", re.ASCII)
_BSUID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}", re.ASCII)
_GROUP = re.compile(r"[A-Za-z0-9+/=_:-]{20,256}", re.ASCII)
_TYPES = {"image": "image", "audio": "audio", "video": "video", "file": "document", "sticker": "sticker"}
_components = msgspec.json.Decoder(list[dict[str, Any]])

Body = tuple[str, Any]
"""`type`, and what stands under that name."""


def send(message: Outbound, phone_number_id: str) -> list[Wire]:
    """Render a message, in order; raises `Unsendable`.

    Its id goes with it (``biz_opaque_callback_data``), so that every status names it.
    """
    own = message.metadata.get(SCHEME, {})
    bodies = [body for part in message.parts for body in _bodies(part, own)]
    if not bodies:
        raise Unsendable("blank text", SENDABLE)
    common = {**HEAD, **recipient(message.to)}
    wires = []
    for index, (kind, content) in enumerate(bodies):
        context = _context(message.reply_to) if index == 0 else {}
        body = {**common, **context, "type": kind, kind: content, "biz_opaque_callback_data": message.id}
        wires.append(build.post(f"/{phone_number_id}/messages", body))
    return wires


def recipient(to: Address) -> dict[str, str]:
    """Read an address; raises `Unsendable`."""
    number, bsuid = _NUMBER.fullmatch(to.value), _BSUID.fullmatch(to.value)
    if to.scheme in {SCHEME, TEL} and number:
        return {"recipient_type": "individual", "to": number[1]}
    if to.scheme in {SCHEME, BSUID} and bsuid:
        return {"recipient_type": "individual", "recipient": to.value}
    if to.scheme == GROUP or (to.scheme == SCHEME and _GROUP.fullmatch(to.value)):
        return {"recipient_type": "group", "to": to.value}
    raise Unsendable("an address that WhatsApp does not know", ADDRESSES)


def _context(reply: MessageRef | None) -> dict[str, Any]:
    native = reply.provider_id if reply else None
    return {"context": {"message_id": native}} if native else {}


def _bodies(part: AnyPart, own: Mapping[str, str]) -> Iterator[Body]:
    match part:
        case p.Text(body=body):
            yield from _text(body, own)
        case p.Choice():
            yield from _choice(part, own)
        case p.Image() | p.Audio() | p.Video() | p.File() | p.Sticker():
            yield from _media(part, own)
        case p.Location():
            where = {"latitude": part.lat, "longitude": part.lon}
            yield "location", {**where, **present(name=part.name, address=part.address)}
        case p.Contact():
            yield "contacts", [_contact(part)]
        case p.Template():
            yield "template", _template(part, own)
        case _:
            raise Unsendable(str(part.__struct_config__.tag), SENDABLE)


def _text(body: str, own: Mapping[str, str]) -> Iterator[Body]:
    preview = {"preview_url": True} if own.get("preview_url") == "true" else {}
    for piece in split(body, TEXT_MAX):
        if piece.strip():
            yield "text", {"body": piece, **preview}


def _choice(part: p.Choice, own: Mapping[str, str]) -> Iterator[Body]:
    pieces = [piece for piece in split(part.body, body_max(part)) if piece.strip()]
    if not pieces:
        raise Unsendable("a choice without a question", SENDABLE)
    *before, question = pieces
    made = interactive(part, question, own)
    yield from (body for piece in before for body in _text(piece, own))
    yield "interactive", made


def _media(part: p.MediaPart, own: Mapping[str, str]) -> Iterator[Body]:
    media = part.media
    kind = _TYPES[str(part.__struct_config__.tag)]
    if not (media.provider_id or media.url):
        raise Unsendable(f"{kind} without `provider_id` or `url`", SENDABLE)
    body: dict[str, Any] = {"id": media.provider_id} if media.provider_id else {"link": media.url}
    if kind == "document" and media.name:
        body["filename"] = media.name
    if kind == "audio" and media.voice:
        body["voice"] = True
    caption = media.caption or ""
    fits = kind in CAPTIONED and len(caption) <= CAPTION_MAX
    if fits and caption.strip():
        body["caption"] = caption
    yield kind, body
    if not fits:
        yield from _text(caption, own)


def _contact(part: p.Contact) -> dict[str, Any]:
    if not part.name:
        raise Unsendable("contact without a name", SENDABLE)
    return {
        "name": {"formatted_name": part.name, "first_name": part.name},
        **present(
            phones=[{"phone": phone} for phone in part.phones], emails=[{"email": email} for email in part.emails]
        ),
    }


def _template(part: p.Template, own: Mapping[str, str]) -> dict[str, Any]:
    """Render a template; headers and buttons are given as Meta's JSON in `metadata.whatsapp.components`.

    https://developers.facebook.com/documentation/business-messaging/whatsapp/templates/overview
    """
    components: list[dict[str, Any]] = []
    if "components" in own:
        try:
            components = _components.decode(own["components"])
        except (msgspec.MsgspecError, RecursionError):
            raise Unsendable(
                "metadata.whatsapp.components that are no JSON list", ("a JSON list of objects",)
            ) from None
    if part.variables:
        values = [{"type": "text", **value} for value in _variables(part.variables)]
        components = [*components, {"type": "body", "parameters": values}]
    named = {"name": part.name, "language": {"code": part.language}}
    return {**named, "components": components} if components else named


_NAMED = re.compile(r"([a-z][a-z0-9_]*)=(.*)", re.ASCII | re.DOTALL)


def _variables(given: tuple[str, ...]) -> list[dict[str, str]]:
    """Read ``name=value``, for a template with named parameters, if all are written so; else values by position."""
    named = [_NAMED.fullmatch(one) for one in given]
    if all(named):
        return [{"parameter_name": one[1], "text": one[2]} for one in named if one]
    return [{"text": one} for one in given]


def request(method: str, params: Params, phone_number_id: str) -> Wire:
    """Render a request other than `message.send`; raises `Unsendable`."""
    path = f"/{phone_number_id}/messages"
    match params:
        case ReactParams():
            if params.to is None:
                raise Unsendable(f"{method} without `to`", (f"{method} with `to` or `conversation`",))
            to = params.to if isinstance(params.to, Address) else Address(scheme=SCHEME, value=params.to)
            reaction = {"message_id": _which(method, params.message), "emoji": params.emoji}
            return build.post(path, {**HEAD, **recipient(to), "type": "reaction", "reaction": reaction})
        case ReceiptSendParams():
            return build.post(path, {**HEAD, "status": "read", "message_id": _which(method, params.message)})
        case TypingParams():
            body = {**HEAD, "status": "read", "message_id": _which(method, params.message)}
            return build.post(path, {**body, "typing_indicator": {"type": "text"}})
        case _:
            raise Unsendable(method, REQUESTS)


def _which(method: str, message: MessageRef | None) -> str:
    native = message.provider_id if message else None
    if not native:
        raise Unsendable(f"{method} without WhatsApp's `message.provider_id`", ("message.provider_id",))
    return native
