"""From the model to calls of the Bot API (https://core.telegram.org/bots/api#available-methods)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from normalizer import build
from normalizer import parts as p
from normalizer.codecs.telegram_choice import markup
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, EditParams, Params, ReactParams, ReceiptSendParams, TypingParams
from normalizer.model import Address, MessageRef
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split, utf16_length

TEXT_MAX = 4096
"""UTF-16 units of a message after formatting (sendMessage)."""

CAPTION_MAX = 1024
"""UTF-16 units of a caption after formatting (sendPhoto and others)."""

SENDABLE = ("text", "image", "audio", "video", "file", "sticker", "location", "contact", "choice")
REQUESTS = ("message.edit", "message.delete", "reaction.send", "typing.send", "receipt.send")
OPTIONS = ("disable_notification", "protect_content")
"""Switches that may stand in `metadata.telegram` as ``true``."""

PARSE_MODES = {"markdown": "Markdown", "html": "HTML"}
_CHAT = re.compile(r"(?:(?P<connection>[^/]+)/)?(?P<chat>-?\d{1,19}|@\w+)", re.ASCII)
_MEDIA = {"image": "Photo", "video": "Video", "audio": "Audio", "file": "Document", "sticker": "Sticker"}


def send(message: Outbound) -> Iterable[Wire]:
    """Render a message, in order; raises `Unsendable`."""
    own = message.metadata.get("telegram", {})
    common = {**target(message.to), **{name: True for name in OPTIONS if own.get(name) == "true"}}
    if message.thread is not None:
        common["message_thread_id"] = _number(message.thread, "a thread that is no Telegram topic")
    calls = [call for part in message.parts for call in _calls(part, own.get("parse_mode"))]
    if not calls:
        raise Unsendable("blank text", SENDABLE)
    wires = []
    for index, (method, body) in enumerate(calls):
        reply = _reply(message.reply_to) if index == 0 else {}
        wires.append(build.post(f"/{method}", {**common, **reply, **body}))
    return wires


def target(to: Address) -> dict[str, Any]:
    """Read an address, ``<chat>`` or ``<business connection>/<chat>``; raises `Unsendable`."""
    found = _CHAT.fullmatch(to.value) if to.scheme == "telegram" else None
    if found is None:
        raise Unsendable("an address that is not a Telegram chat id", ("telegram:<chat id>", "telegram:@<channel>"))
    chat, connection = found["chat"], found["connection"]
    body: dict[str, Any] = {"chat_id": chat if chat.startswith("@") else int(chat)}
    return {"business_connection_id": connection, **body} if connection else body


def _number(native: str, need: str) -> int:
    if not re.fullmatch(r"\d{1,19}", native, re.ASCII):
        raise Unsendable(need, ("digits",))
    return int(native)


def _reply(reply: MessageRef | None) -> dict[str, Any]:
    native = reply.provider_id if reply else None
    if native is None or not re.fullmatch(r"\d{1,19}", native, re.ASCII):  # a button press is no message
        return {}
    return {"reply_parameters": {"message_id": int(native), "allow_sending_without_reply": True}}


Call = tuple[str, dict[str, Any]]


def _calls(part: AnyPart, parse_mode: str | None) -> Iterator[Call]:
    match part:
        case p.Text(body=body, format=form):
            yield from _text(body, _mode(form, parse_mode))
        case p.Choice():
            keyboard = markup(part)
            *before, last = _text(part.body, {}) or [("", {})]
            if not last[0]:
                raise Unsendable("a choice without a question", SENDABLE)
            yield from before
            yield last[0], {**last[1], "reply_markup": keyboard}
        case p.Image() | p.Video() | p.Audio() | p.File() | p.Sticker():
            yield from _media(part, {"parse_mode": parse_mode} if parse_mode else {})
        case p.Location():
            yield _location(part)
        case p.Contact():
            yield _contact(part)
        case _:
            raise Unsendable(str(part.__struct_config__.tag), SENDABLE)


def _mode(form: str, parse_mode: str | None) -> dict[str, Any]:
    mode = parse_mode or PARSE_MODES.get(form)
    return {"parse_mode": mode} if mode else {}


def _text(body: str, mode: dict[str, Any]) -> list[Call]:
    # Telegram refuses a message of white space only
    pieces = (piece for piece in split(body, TEXT_MAX, utf16_length) if piece.strip())
    return [("sendMessage", {"text": piece, **mode}) for piece in pieces]


def _media(part: p.MediaPart, mode: dict[str, Any]) -> Iterator[Call]:
    media, kind = part.media, str(part.__struct_config__.tag)
    name = "Voice" if media.voice and kind == "audio" else _MEDIA[kind]
    body: dict[str, Any] = {name.lower(): source(media, kind)}
    caption = media.caption or ""
    fits = kind != "sticker" and utf16_length(caption) <= CAPTION_MAX
    if fits and caption.strip():
        body.update(caption=caption, **mode)
    yield f"send{name}", body
    if not fits:
        yield from _text(caption, mode)


def source(media: p.Media, kind: str) -> str:
    """Name a file by Telegram's id or by a URL that Telegram fetches; raises `Unsendable`."""
    found = media.provider_id or media.url
    if not found:
        raise Unsendable(f"{kind} without `provider_id` or `url`", SENDABLE)
    return found


def _location(part: p.Location) -> Call:
    body = {"latitude": part.lat, "longitude": part.lon}
    title, address = part.name or part.address, part.address or part.name
    return ("sendVenue", {**body, "title": title, "address": address}) if title else ("sendLocation", body)


def _contact(part: p.Contact) -> Call:
    if not part.phones:
        raise Unsendable("contact without a phone number", SENDABLE)
    body = {"phone_number": part.phones[0], "first_name": part.name or part.phones[0]}
    return "sendContact", {**body, "vcard": part.vcard} if part.vcard else body


def request(method: str, params: Params) -> Wire:
    """Render a request other than `message.send`; raises `Unsendable`."""
    match params:
        case EditParams():
            return _edit(params, {**_where(method, params.to), **_which(method, params.message)})
        case DeleteParams():
            return _delete(_where(method, params.to), _which(method, params.message))
        case ReactParams():
            reaction = [_reaction(params.emoji)] if params.emoji else []
            body = {**_where(method, params.to), **_which(method, params.message), "reaction": reaction}
            return build.post("/setMessageReaction", body)
        case TypingParams():
            return build.post("/sendChatAction", {**_where(method, params.to), "action": "typing"})
        case ReceiptSendParams():
            where = _where(method, params.to)
            if "business_connection_id" not in where:
                raise Unsendable("receipt.send outside a business chat", REQUESTS)
            return build.post("/readBusinessMessage", {**where, **_which(method, params.message)})
        case _:
            raise Unsendable(method, REQUESTS)


def _where(method: str, to: Address | str | None) -> dict[str, Any]:
    if to is None:
        raise Unsendable(f"{method} without `to`", (f"{method} with `to` or `conversation`",))
    return target(to if isinstance(to, Address) else Address(scheme="telegram", value=to))


def _which(method: str, message: MessageRef) -> dict[str, Any]:
    return {"message_id": _number(message.provider_id or "", f"{method} without Telegram's `message.provider_id`")}


def _reaction(emoji: str) -> dict[str, Any]:
    kind, _, custom = emoji.partition(":")
    if kind == "custom_emoji" and custom:
        return {"type": kind, "custom_emoji_id": custom}
    return {"type": "paid"} if emoji == "paid" else {"type": "emoji", "emoji": emoji}


def _delete(where: dict[str, Any], which: dict[str, Any]) -> Wire:
    if "business_connection_id" in where:
        del where["chat_id"]
        return build.post("/deleteBusinessMessages", {**where, "message_ids": [which["message_id"]]})
    return build.post("/deleteMessage", {**where, **which})


def _edit(params: EditParams, where: dict[str, Any]) -> Wire:
    parts = params.parts or ((p.Text(body=params.text),) if params.text else ())
    calls = [call for part in parts for call in _calls(part, None)]
    if len(calls) != 1:
        raise Unsendable("an edit that is not exactly one message", ("one text, choice or media part that fits",))
    method, body = calls[0]
    if method == "sendMessage":
        return build.post("/editMessageText", {**where, **body})
    kind = method.removeprefix("send").lower()
    if kind not in {"photo", "video", "audio", "document"}:
        raise Unsendable(f"an edit to {kind}", ("text", "choice", "image", "video", "audio", "file"))
    media = {"type": kind, "media": body.pop(kind), **body}
    return build.post("/editMessageMedia", {**where, "media": media})
