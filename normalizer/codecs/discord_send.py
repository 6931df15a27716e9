"""From the model to Discord: follow-ups by the interaction's token, messages by the bot, answers to interactions.

https://docs.discord.com/developers/interactions/receiving-and-responding#followup-messages,
https://docs.discord.com/developers/resources/message#create-message
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs.discord_components import CHOICES, components
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, EditParams, Params, ReactParams, TypingParams
from normalizer.model import Address, MessageRef
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split, utf16_length

SCHEME = "discord"
TEXT_MAX = 2000
TITLE_MAX, EMBED_MAX, EMBEDS_MAX = 256, 4096, 10
SENDABLE = ("text", "image", "audio", "video", "file", "choice", "card", "carousel")
REQUESTS = ("message.edit", "message.delete", "reaction.send", "typing.send")
FORMATS = ("plain", "markdown")
ATTACH = "attach://"
"""Stands before the hash of a blob that goes out in the same form as the call."""
FILES = "files"
"""Field of a call that lists those blobs; it never reaches Discord."""
NONCE_CHARS = 25
TOKEN, VIA = "interaction_token", "via"
"""Words of `metadata.discord`: the token to answer by; ``via = "channel"`` goes by the bot although there is one."""

SUPPRESS_EMBEDS, EPHEMERAL, SILENT = 4, 64, 4096
MENTIONS = frozenset({"users", "roles", "everyone"})

_ID = re.compile(r"\d{1,20}", re.ASCII)
_URL = re.compile(r"https?://\S+")
_MARKS = re.compile(r"([\\*_~`|\[<])")
_LINE = re.compile(r"^(\s*\d{0,9})(#{1,3} |>|-#? |\. )", re.MULTILINE)

Call = dict[str, Any]


class Sending(Struct, frozen=True, kw_only=True):
    """How a channel sends.

    Attributes:
        application_id: part of the URL of follow-ups.
        bot: there is a bot's token, so that channels can be written to.
        ephemeral: answers are seen by the person who asked alone, unless a message says otherwise.
    """

    application_id: str
    bot: bool = False
    ephemeral: bool = False


def send(message: Outbound, sending: Sending) -> list[Wire]:
    """Render a message as calls of the API, in order; raises `Unsendable`."""
    channel, own = target(message.to), message.metadata.get(SCHEME, {})
    if message.thread is not None:
        channel = _number(message.thread, "a thread that is no channel id")
    token = own.get(TOKEN) if own.get(VIA) != "channel" else None
    wires = []
    for index, call in enumerate(_calls(message.parts)):
        body = {**_options(own, sending, hidable=token is not None), **call}
        if token is not None:
            query = f"?{urlencode({'thread_id': message.thread})}" if message.thread else ""
            wires.append(build.post(f"{_hook(sending, token)}{query}", body))
            continue
        nonce = ids.digest(message.id, str(index))[:NONCE_CHARS]  # a second try makes no second message
        told = {**_reference(message.reply_to), "nonce": nonce, "enforce_nonce": True}
        wires.append(build.post(f"/channels/{channel}/messages", {**body, **told}))
    return wires


def answer(message: Outbound, sending: Sending) -> bytes | None:
    """Render a message as the answer to an interaction; None if it is not one that fits there.

    https://docs.discord.com/developers/interactions/receiving-and-responding#interaction-response-object
    """
    own = message.metadata.get(SCHEME, {})
    if own.get(VIA) == "channel" or message.thread is not None:
        return None
    try:
        calls = _calls(message.parts)
    except Unsendable:
        return None
    if len(calls) != 1 or FILES in calls[0]:
        return None
    return msgspec.json.encode({"type": 4, "data": {**_options(own, sending, hidable=True), **calls[0]}})


def _hook(sending: Sending, token: str) -> str:
    return f"/webhooks/{sending.application_id}/{quote(token, safe='')}"


def target(to: Address) -> str:
    """Read a channel's id; raises `Unsendable`."""
    if to.scheme != SCHEME:
        raise Unsendable("an address that is no Discord channel", ("discord:<channel id>",))
    return _number(to.value, "an address that is no Discord channel")


def _number(native: str, need: str) -> str:
    if not _ID.fullmatch(native):
        raise Unsendable(need, ("digits",))
    return native


def _options(own: Mapping[str, str], sending: Sending, *, hidable: bool) -> Call:
    """Say whom a message may wake up (nobody, unless asked), and who sees it; messages of the bot are for everybody."""
    allowed = sorted(MENTIONS & set(own.get("mentions", "").split(",")))
    flags = SUPPRESS_EMBEDS if own.get("suppress_embeds") == "true" else 0
    flags |= SILENT if own.get("silent") == "true" else 0
    private = own.get("ephemeral", "true" if sending.ephemeral else "") == "true"
    flags |= EPHEMERAL if private and hidable else 0
    return {"allowed_mentions": {"parse": allowed}, **({"flags": flags} if flags else {})}


def _reference(reply: MessageRef | None) -> Call:
    native = reply.provider_id if reply else None
    if native is None or not _ID.fullmatch(native):
        return {}
    return {"message_reference": {"message_id": native, "fail_if_not_exists": False}}


def _calls(parts: tuple[AnyPart, ...]) -> list[Call]:
    calls = [call for part in parts for call in _part(part)]
    if not calls:
        raise Unsendable("blank text", SENDABLE)
    return calls


def _part(part: AnyPart) -> Iterator[Call]:
    match part:
        case p.Text(body=body, format=form):
            yield from ({"content": piece} for piece in _texts(body, form))
        case p.Choice(body=body):
            *before, last = [*_texts(body)] or [""]
            if not last:
                raise Unsendable("a choice without a question", tuple(CHOICES))
            yield from ({"content": piece} for piece in before)
            yield {"content": last, "components": components(part)}
        case p.Card(items=items) | p.Carousel(items=items):
            yield _cards(items)
        case p.Image() | p.Audio() | p.Video() | p.File():
            yield from _media(part)
        case _:
            raise Unsendable(str(part.__struct_config__.tag), SENDABLE)


def _texts(body: str, form: str = "plain") -> Iterator[str]:
    if form not in FORMATS:
        raise Unsendable(f"text of format {form}", FORMATS)
    if form == "markdown":
        return (piece for piece in split(body, TEXT_MAX, utf16_length) if piece.strip())
    pieces = split(body, TEXT_MAX, lambda piece: utf16_length(escape(piece)))
    return (escape(piece) for piece in pieces if piece.strip())


def escape(text: str) -> str:
    """Write text so that Discord shows it as it is; links stay links.

    https://docs.discord.com/developers/reference#message-formatting
    """
    done, last = "", 0
    for url in _URL.finditer(text):
        done += _MARKS.sub(r"\\\1", text[last : url.start()]) + url[0]
        last = url.end()
    return _LINE.sub(r"\1\\\2", done + _MARKS.sub(r"\\\1", text[last:]))


def _media(part: p.Image | p.Audio | p.Video | p.File) -> Iterator[Call]:
    media, tag = part.media, str(part.__struct_config__.tag)
    first, *rest = [*_texts(media.caption or "")] or [""]
    content = {"content": first} if first else {}
    if media.url and media.url.startswith(ATTACH):
        attachment = {"id": 0, "filename": media.name or tag}
        yield {**content, "attachments": [attachment], FILES: [media.url]}
    elif found := media.url or media.provider_id:
        if not found.startswith("https://"):
            raise Unsendable(f"{tag} without `sha256` or `url`", SENDABLE)
        yield (
            {**content, "embeds": [{"image": {"url": found}}]}
            if tag == "image"
            else {"content": f"{first} {found}".strip()}
        )
    else:
        raise Unsendable(f"{tag} without `sha256` or `url`", SENDABLE)
    yield from ({"content": piece} for piece in rest)


def _cards(items: tuple[p.CardItem, ...]) -> Call:
    if not 1 <= len(items) <= EMBEDS_MAX:
        raise Unsendable(f"{len(items)} cards", (f"1 to {EMBEDS_MAX} cards",))
    choices = tuple(item for card in items for item in card.items)
    shown = {"components": components(p.Choice(kind="buttons", body="", items=choices))} if choices else {}
    return {"embeds": [_embed(item) for item in items], **shown}


def _embed(item: p.CardItem) -> Call:
    if len(escape(item.title)) > TITLE_MAX or len(escape(item.body or "")) > EMBED_MAX:
        raise Unsendable("a longer card", (f"a title of {TITLE_MAX} and a text of {EMBED_MAX} characters",))
    picture = (item.media.url or item.media.provider_id) if item.media else None
    found = {
        "title": escape(item.title),
        "description": escape(item.body or ""),
        "image": {"url": picture} if picture else None,
    }
    return {name: value for name, value in found.items() if value}


def request(method: str, params: Params, sending: Sending, token: str | None) -> Wire:
    """Render a request other than `message.send`; raises `Unsendable`.

    Args:
        method: the request.
        params: its params.
        sending: as for `send`.
        token: of the interaction that the message answered; without it the bot is needed.
    """
    match params:
        case EditParams():
            parts = params.parts or ((p.Text(body=params.text),) if params.text else ())
            calls = _calls(parts) if parts else []
            if len(calls) != 1:
                raise Unsendable("an edit that is not exactly one message", ("one text, choice, card or file",))
            body = {"allowed_mentions": {"parse": []}, **calls[0]}
            wire = build.post(_place(method, params.to, params.message, sending, token), body)
            return msgspec.structs.replace(wire, method="PATCH")
        case DeleteParams():
            return Wire(method="DELETE", url=_place(method, params.to, params.message, sending, token))
        case ReactParams(emoji=emoji) if emoji:
            place = _place(method, params.to, params.message, sending, None)
            return Wire(method="PUT", url=f"{place}/reactions/{quote(emoji_name(emoji), safe='')}/@me")
        case TypingParams():
            return Wire(method="POST", url=f"/channels/{_where(method, params.to, sending)}/typing")
        case _:
            raise Unsendable(f"{method} without `emoji`" if isinstance(params, ReactParams) else method, REQUESTS)


def emoji_name(emoji: str) -> str:
    """Write an emoji as the URL wants it: the character, or ``name:id`` of a custom one (``<:name:id>``)."""
    return emoji.strip("<>").removeprefix("a:").strip(":")


def _place(method: str, to: Address | str | None, message: MessageRef, sending: Sending, token: str | None) -> str:
    native = _number(message.provider_id or "", f"{method} without Discord's `message.provider_id`")
    base = _hook(sending, token) if token is not None else f"/channels/{_where(method, to, sending)}"
    return f"{base}/messages/{native}"


def _where(method: str, to: Address | str | None, sending: Sending) -> str:
    if not sending.bot:
        raise Unsendable(f"{method} without `bot_token`", ("it within 15 minutes of the interaction",))
    if to is None:
        raise Unsendable(f"{method} without `to`", (f"{method} with `to` or `conversation`",))
    return target(to if isinstance(to, Address) else Address(scheme=SCHEME, value=to))
