"""From the model to WeCom: application messages, and passive replies in the HTTP answer.

https://developer.work.weixin.qq.com/document/path/90236
https://developer.work.weixin.qq.com/document/path/90241
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from normalizer import build
from normalizer import parts as p
from normalizer.codecs import wechat_send
from normalizer.codecs.wecom_card import BUTTONS_MAX, OPTIONS_MAX, card
from normalizer.codecs.wecom_frame import SCHEME
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, Params
from normalizer.model import Address
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split

TEXT_MAX = 2048
"""Bytes of UTF-8 in one text or markdown; WeCom cuts off what is longer."""
ARTICLES_MAX = 8

SENDABLE = ("text", "image", "audio", "video", "file", "choice", "card", "carousel")
REQUESTS = ("message.delete",)
CHOICES = {"buttons": BUTTONS_MAX, "quick_replies": BUTTONS_MAX, "list": OPTIONS_MAX, "cta_url": 20}
SEND, RECALL = "/cgi-bin/message/send", "/cgi-bin/message/recall"

Body = tuple[str, Any]
"""`msgtype` and what stands under that name."""


class App(Struct, frozen=True):
    """Which app speaks: the corp's id and the AgentId."""

    corp_id: str
    agent_id: int


def send(message: Outbound, app: App) -> list[Wire]:
    """Render a message as calls of the API, in order; raises `Unsendable`."""
    user, agent = recipient(message.to, app)
    own = message.metadata.get(SCHEME, {})
    bodies = [body for part in message.parts for body in _bodies(part, own, message.id)]
    if not bodies:
        raise Unsendable("blank text", SENDABLE)
    wires = []
    for index, (kind, content) in enumerate(bodies):
        if kind == "template_card":  # its id must be unique, and the same when the message is tried again
            content["task_id"] = f"{message.id}-{index}"
        body = {"touser": user, "msgtype": kind, "agentid": agent, kind: content}
        if own.get("safe") in {"1", "true"}:
            body["safe"] = 1
        wires.append(build.post(SEND, body))
    return wires


def request(method: str, params: Params) -> Wire:
    """Render another request; raises `Unsendable`."""
    if isinstance(params, DeleteParams) and params.message.provider_id:
        return build.post(RECALL, {"msgid": params.message.provider_id})
    raise Unsendable(method, REQUESTS)


def recipient(to: Address, app: App) -> tuple[str, int]:
    """Read who is addressed, and by which app; raises `Unsendable`.

    ``zhangsan`` and ``<our CorpID>/zhangsan`` are the same; ``1000003/zhangsan`` is by another app of the corp.
    """
    before, slash, user = to.value.rpartition("/")
    other = bool(slash) and before != app.corp_id
    known = not other or (before.isascii() and before.isdecimal())
    if to.scheme != SCHEME or not user or not known or "|" in user or user.lower() == "@all":
        raise Unsendable("an address that is no UserID of this corp", ("wecom:<UserID>", "wecom:<CorpID>/<UserID>"))
    return user, int(before) if other else app.agent_id


def passive(message: Outbound, info: Mapping[str, str], app: App) -> dict[str, Any] | None:
    """Render a message as fields of a passive reply; None if it is not one of those WeCom takes there.

    Args:
        message: with its media uploaded.
        info: ``user``, ``us``, ``address`` and ``at`` (Unix seconds) of the message that is answered.
        app: that answers.
    """
    asked = Address(scheme=SCHEME, value=info["address"])
    if recipient(message.to, app) != recipient(asked, app) or message.metadata.get(SCHEME):
        return None
    if any(isinstance(part, p.Text) and part.format == "markdown" for part in message.parts):
        return None
    if any(isinstance(part, p.Choice) for part in message.parts):
        return None
    # In the HTTP answer WeCom takes what WeChat takes there.
    return wechat_send.passive(replace(message, to=Address(scheme=SCHEME, value=info["user"])), info)


def _bodies(part: AnyPart, own: Mapping[str, str], message_id: str) -> Iterator[Body]:
    tag = str(part.__struct_config__.tag)
    match part:
        case p.Text(body=body, format=form):
            yield from _texts(body, "markdown" if form == "markdown" else "text")
        case p.Image() | p.Audio() | p.Video() | p.File():
            yield _media(part)
            if part.media.caption and not isinstance(part, p.Video):
                yield from _texts(part.media.caption)
        case p.Choice(kind="cta_url", body=body, items=items):
            links = [f'<a href="{_quoted(item.url)}">{item.title.translate(_NO_TAG)}</a>' for item in items if item.url]
            yield from _texts("\n".join([body, *links]))
        case p.Choice():
            yield card(part, message_id, own)
        case p.Card(items=items) | p.Carousel(items=items):
            for start in range(0, len(items), ARTICLES_MAX):
                yield "news", {"articles": [_article(item) for item in items[start : start + ARTICLES_MAX]]}
        case _:
            raise Unsendable(tag, SENDABLE)


def _texts(body: str, kind: str = "text") -> Iterator[Body]:
    for piece in split(body, TEXT_MAX, lambda text: len(text.encode("utf-8", "surrogatepass"))):
        if piece.strip():
            yield kind, {"content": piece}


_KINDS = {"image": "image", "audio": "voice", "video": "video", "file": "file"}


def _media(part: p.Image | p.Audio | p.Video | p.File) -> Body:
    media, tag = part.media, str(part.__struct_config__.tag)
    if not media.provider_id:
        raise Unsendable(f"{tag} without `provider_id`", SENDABLE)
    body = {"media_id": media.provider_id}
    if isinstance(part, p.Video):
        words = {"title": media.name, "description": media.caption}
        body |= {name: value for name, value in words.items() if value}
    return _KINDS[tag], body


def _quoted(url: str | None) -> str:
    return (url or "").replace('"', "%22")


_NO_TAG = str.maketrans("<>", "\u2039\u203a")


def _article(item: p.CardItem) -> dict[str, str]:
    link = next((choice.url for choice in item.items if choice.url), None)
    picture = item.media.url if item.media is not None else None
    found = {"title": item.title, "description": item.body, "url": link, "picurl": picture}
    return {name: value for name, value in found.items() if value}
