"""From the model to DingTalk's robot API, and to the session webhook of a conversation.

https://open.dingtalk.com/document/orgapp/robot-message-type
https://open.dingtalk.com/document/orgapp/chatbots-send-one-on-one-chat-messages-in-batches
https://open.dingtalk.com/document/orgapp/the-robot-sends-a-group-message
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from normalizer import build
from normalizer import parts as p
from normalizer.codecs.dingtalk_card import Message, cards, choice, headline
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, Params
from normalizer.model import Address
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split

SCHEME = "dingtalk"
TEXT_MAX = 3500
"""Characters: at most 14,000 bytes of what is usual in text."""
PARAM_MAX = 15_000
"""Bytes of `msgParam` (https://open.dingtalk.com/document/orgapp/the-robot-sends-a-group-message)."""
SENDABLE = ("text", "image", "audio", "video", "file", "choice", "card", "carousel")
REQUESTS = ("message.delete",)
CHOICES = {"buttons": 20, "list": 20, "quick_replies": 20, "cta_url": 5}
FORMATS = ("plain", "markdown")
OUTSIDE = "direct:"
"""Stands before the conversation of somebody without a user id."""

TO_PERSON, TO_GROUP = "/v1.0/robot/oToMessages/batchSend", "/v1.0/robot/groupMessages/send"
RECALL_PERSON, RECALL_GROUP = "/v1.0/robot/otoMessages/batchRecall", "/v1.0/robot/groupMessages/recall"

_GROUP = re.compile(r"cid[A-Za-z0-9+/]{16,}={0,2}", re.ASCII)


class Target(Struct, frozen=True):
    """Whom something is sent to: a person by user id, a group by conversation id, or somebody outside."""

    value: str
    sort: Literal["person", "group", "outside"]


def target(to: Address) -> Target:
    """Read an address; raises `Unsendable`."""
    if to.scheme != SCHEME or not to.value:
        raise Unsendable("an address that is no DingTalk id", ("dingtalk:<user id>", "dingtalk:<openConversationId>"))
    if to.value.startswith(OUTSIDE):
        return Target(to.value, "outside")
    return Target(to.value, "group" if _GROUP.fullmatch(to.value) else "person")


def send(message: Outbound, robot: str) -> list[Wire]:
    """Render a message as calls, in order; raises `Unsendable`."""
    to, own = target(message.to), message.metadata.get(SCHEME, {})
    found = [said for part in message.parts for said in _messages(part, to, own)]
    if not found:
        raise Unsendable("blank text", SENDABLE)
    return [_wire(to, robot, said) for said in found]


def _wire(to: Target, robot: str, said: Message) -> Wire:
    key, param = said
    encoded = msgspec.json.encode(param)
    if len(encoded) > PARAM_MAX:
        raise Unsendable(f"a message of {len(encoded)} bytes", (f"at most {PARAM_MAX} bytes",))
    body: dict[str, Any] = {"robotCode": robot, "msgKey": key, "msgParam": encoded.decode()}
    if to.sort == "group":
        return build.post(TO_GROUP, {**body, "openConversationId": to.value})
    return build.post(TO_PERSON, {**body, "userIds": [to.value]})


def _messages(part: AnyPart, to: Target, own: Mapping[str, str]) -> Iterator[Message]:
    match part:
        case p.Text(body=body, format=form):
            yield from _texts(body, form)
        case p.Image() | p.Audio() | p.Video() | p.File():
            yield _outside(part) if to.sort == "outside" else _media(part, own)
            yield from _texts(part.media.caption or "")
        case p.Choice():
            yield choice(part, CHOICES)
        case p.Card(items=items) | p.Carousel(items=items):
            yield from cards(items)
        case _:
            raise Unsendable(str(part.__struct_config__.tag), SENDABLE)


def _texts(body: str, form: str = "plain") -> Iterator[Message]:
    if form not in FORMATS:
        raise Unsendable(f"text of format {form}", FORMATS)
    for piece in split(body, TEXT_MAX):
        if not piece.strip():
            continue
        if form == "markdown":
            yield "sampleMarkdown", {"title": headline(piece), "text": piece}
        else:
            yield "sampleText", {"content": piece}


def _media(part: p.Image | p.Audio | p.Video | p.File, own: Mapping[str, str]) -> Message:
    media = part.media
    native = media.provider_id
    if isinstance(part, p.Image) and (native or media.url):
        return "sampleImageMsg", {"photoURL": native or media.url or ""}
    if not native:
        return _link(part)
    if isinstance(part, p.Audio) and media.voice:
        return "sampleAudio", {"mediaId": native, "duration": str(media.duration_ms or 1000)}
    if isinstance(part, p.Video) and "picMediaId" in own:
        seconds = str(max(1, round((media.duration_ms or 0) / 1000)))
        return "sampleVideo", {
            "duration": seconds, "videoMediaId": native, "videoType": "mp4", "picMediaId": own["picMediaId"],
        }  # fmt: skip
    name = media.name or str(part.__struct_config__.tag)
    ending = name.rpartition(".")[2].lower() if "." in name else "file"
    return "sampleFile", {"mediaId": native, "fileName": name, "fileType": ending}


def _link(part: p.Image | p.Audio | p.Video | p.File) -> Message:
    """Show a file as a link."""
    tag = str(part.__struct_config__.tag)
    if not part.media.url:
        raise Unsendable(f"{tag} without `sha256`, `provider_id` or `url`", SENDABLE)
    name = part.media.name or tag
    return "sampleLink", {"title": name, "text": name, "picUrl": "", "messageUrl": part.media.url}


def _outside(part: p.Image | p.Audio | p.Video | p.File) -> Message:
    """Show a file by what a session webhook takes."""
    if isinstance(part, p.Image) and part.media.url:
        return "sampleMarkdown", {"title": part.media.name or "image", "text": f"![]({part.media.url})"}
    return _link(part)


def addressee(wire: Wire) -> str | None:
    """Say whom a call sends something to; None if it is another call."""
    if wire.url not in {TO_PERSON, TO_GROUP}:
        return None
    body = msgspec.json.decode(wire.body)
    return str(body["openConversationId"] if wire.url == TO_GROUP else body["userIds"][0])


def by_session(wire: Wire) -> dict[str, Any] | None:
    """Say the same for a session webhook; None if that does not take it.

    https://open.dingtalk.com/document/orgapp/robot-message-type
    """
    body = msgspec.json.decode(wire.body)
    key, param = body["msgKey"], msgspec.json.decode(body["msgParam"])
    match key:
        case "sampleText":
            return {"msgtype": "text", "text": param}
        case "sampleMarkdown":
            return {"msgtype": "markdown", "markdown": param}
        case "sampleLink":
            return {"msgtype": "link", "link": param}
        case _ if key.startswith("sampleActionCard"):
            return {"msgtype": "actionCard", "actionCard": _buttons(param)}
        case _:
            return None


def _buttons(param: dict[str, str]) -> dict[str, Any]:
    if "singleURL" in param:
        return param
    count = sum(name.startswith("actionURL") for name in param)
    buttons = [{"title": param[f"actionTitle{n}"], "actionURL": param[f"actionURL{n}"]} for n in range(1, count + 1)]
    return {"title": param["title"], "text": param["text"], "btnOrientation": "0", "btns": buttons}


def request(method: str, params: Params, robot: str) -> Wire:
    """Render another request; raises `Unsendable`.

    https://open.dingtalk.com/document/orgapp/batch-message-recall-chat
    https://open.dingtalk.com/document/orgapp/enterprise-chatbot-withdraws-internal-group-messages
    """
    if not isinstance(params, DeleteParams) or params.to is None:
        raise Unsendable(method, REQUESTS)
    if not params.message.provider_id:
        raise Unsendable(f"{method} of a message without id", ("a message that was sent by the API",))
    to = target(params.to if isinstance(params.to, Address) else Address(scheme=SCHEME, value=params.to))
    body: dict[str, Any] = {"robotCode": robot, "processQueryKeys": [params.message.provider_id]}
    if to.sort == "group":
        return build.post(RECALL_GROUP, {**body, "openConversationId": to.value})
    return build.post(RECALL_PERSON, body)
