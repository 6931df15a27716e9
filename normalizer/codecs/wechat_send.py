"""From the model to WeChat: the customer-service API, template messages, and passive replies in the HTTP answer.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html
https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Passive_user_reply_message.html
https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from normalizer import build
from normalizer import parts as p
from normalizer.codecs.wechat_frame import SCHEME
from normalizer.errors import Unsendable
from normalizer.methods import Params, TypingParams
from normalizer.model import Address
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split

TEXT_MAX = 2048
"""Bytes of UTF-8 in one text, by the API (else error 45002) and in a passive reply."""

SENDABLE = ("text", "image", "audio", "video", "choice", "template", "card")
MINI_SENDABLE = ("text", "image", "card")
"""https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/customer-message/send.html."""

REQUESTS = ("typing.send",)
SEND, TYPING, TEMPLATE = (f"/cgi-bin/message/{path}" for path in ("custom/send", "custom/typing", "template/send"))

Body = tuple[str, Any]
"""`msgtype` and what stands under that name."""


def send(message: Outbound, *, mini: bool = False) -> list[Wire]:
    """Render a message as calls of the API, in order; raises `Unsendable`."""
    user, own = recipient(message.to), message.metadata.get(SCHEME, {})
    wires = []
    for part in message.parts:
        if isinstance(part, p.Template) and not mini:
            wires.append(build.post(TEMPLATE, {"touser": user, **_template(part, own)}))
            continue
        for kind, content in _bodies(part, own, mini=mini):
            body = {"touser": user, "msgtype": kind, kind: content}
            if "kf_account" in own:
                body["customservice"] = {"kf_account": own["kf_account"]}
            wires.append(build.post(SEND, body))
    if not wires:
        raise Unsendable("blank text", _able(mini=mini))
    return wires


def request(method: str, params: Params) -> Wire:
    """Render another request; raises `Unsendable`."""
    if not isinstance(params, TypingParams) or params.to is None:
        raise Unsendable(method, REQUESTS)
    to = params.to if isinstance(params.to, Address) else Address(scheme=SCHEME, value=params.to)
    return build.post(TYPING, {"touser": recipient(to), "command": "Typing"})


def recipient(to: Address) -> str:
    """Read an OpenID; raises `Unsendable`."""
    if to.scheme != SCHEME or not to.value:
        raise Unsendable("an address that is no OpenID", ("wechat:<OpenID>",))
    return to.value


def passive(message: Outbound, info: Mapping[str, str]) -> dict[str, Any] | None:
    """Render a message as fields of a passive reply; None if it is not one of those WeChat takes there.

    Args:
        message: with its media uploaded.
        info: ``user``, ``us`` and ``at`` (Unix seconds) of the message that is answered.
    """
    own = message.metadata.get(SCHEME, {})
    if len(message.parts) != 1 or "kf_account" in own or message.to.value != info["user"]:
        return None
    try:
        bodies = list(_bodies(message.parts[0], own, mini=False))
    except Unsendable:
        return None
    fields = _PASSIVE[bodies[0][0]](bodies[0][1]) if len(bodies) == 1 and bodies[0][0] in _PASSIVE else None
    if fields is None:
        return None
    head = {"ToUserName": info["user"], "FromUserName": info["us"], "CreateTime": int(info["at"])}
    return {**head, "MsgType": bodies[0][0], **fields}


def _able(*, mini: bool) -> tuple[str, ...]:
    return MINI_SENDABLE if mini else SENDABLE


def _bodies(part: AnyPart, own: Mapping[str, str], *, mini: bool) -> Iterator[Body]:
    tag = str(part.__struct_config__.tag)
    if tag not in _able(mini=mini):
        raise Unsendable(tag, _able(mini=mini))
    match part:
        case p.Text(body=body):
            yield from _texts(body)
        case p.Image() | p.Audio() | p.Video():
            kind, content = _media(part, own)
            yield kind, content
            if part.media.caption and kind in {"image", "voice"}:
                yield from _texts(part.media.caption)
        case p.Choice():
            yield from _choice(part)
        case p.Card(items=items):
            yield from (("link", _link(item)) if mini else ("news", {"articles": [_article(item)]}) for item in items)
        case _:
            raise Unsendable(tag, _able(mini=mini))


def _texts(body: str) -> Iterator[Body]:
    for piece in split(body, TEXT_MAX, lambda text: len(text.encode("utf-8", "surrogatepass"))):
        if piece.strip():
            yield "text", {"content": piece}


def _media(part: p.Image | p.Audio | p.Video, own: Mapping[str, str]) -> Body:
    media, tag = part.media, str(part.__struct_config__.tag)
    if isinstance(part, p.Audio) and media.provider_id is None and media.url and "thumb_media_id" in own:
        music = {"title": media.name, "description": media.caption, "musicurl": media.url, "hqmusicurl": media.url}
        return "music", {**{k: v for k, v in music.items() if v}, "thumb_media_id": own["thumb_media_id"]}
    if not media.provider_id:
        raise Unsendable(f"{tag} without `provider_id`", SENDABLE)
    body = {"media_id": media.provider_id}
    if not isinstance(part, p.Video):
        return ("image" if isinstance(part, p.Image) else "voice"), body
    words = {"thumb_media_id": own.get("thumb_media_id"), "title": media.name, "description": media.caption}
    return "video", {**body, **{name: value for name, value in words.items() if value}}


def _choice(part: p.Choice) -> Iterator[Body]:
    if part.kind == "cta_url":
        yield from _texts("\n".join([part.body, *(_anchor(item.title, item.url) for item in part.items if item.url)]))
    elif part.kind in {"buttons", "list", "quick_replies"} and part.items:
        items = [{"id": item.id, "content": item.title} for item in part.items]
        yield "msgmenu", {"head_content": part.body, "list": items, "tail_content": ""}
    else:
        raise Unsendable(f"a choice of kind {part.kind}", ("buttons", "list", "quick_replies", "cta_url"))


def _anchor(title: str, url: str) -> str:
    """Write a link; WeChat knows this one tag and no entities."""
    return f'<a href="{url.replace(chr(34), "%22")}">{title.translate(_NO_TAG)}</a>'


_NO_TAG = str.maketrans("<>", "\u2039\u203a")


def _article(item: p.CardItem) -> dict[str, str]:
    link = next((choice.url for choice in item.items if choice.url), None)
    picture = item.media.url if item.media is not None else None
    found = {"title": item.title, "description": item.body, "url": link, "picurl": picture}
    return {name: value for name, value in found.items() if value}


def _link(item: p.CardItem) -> dict[str, str]:
    article = _article(item)
    return {("thumb_url" if name == "picurl" else name): value for name, value in article.items()}


_NAMED = re.compile(r"(?P<name>[a-z_]+\d*)=(?P<value>.*)", re.DOTALL)


def _template(part: p.Template, own: Mapping[str, str]) -> dict[str, Any]:
    """Fill a template; variables are ``name=value``, and one without a name is ``keyword<n>``."""
    data, unnamed = {}, 0
    for variable in part.variables:
        found = _NAMED.fullmatch(variable)
        unnamed += found is None
        name, value = (found["name"], found["value"]) if found else (f"keyword{unnamed}", variable)
        data[name] = {"value": value}
    body: dict[str, Any] = {"template_id": part.name, "data": data}
    if "url" in own:
        body["url"] = own["url"]
    if "miniprogram_appid" in own:
        body["miniprogram"] = {"appid": own["miniprogram_appid"], "pagepath": own.get("miniprogram_path", "")}
    return body


def _titled(content: Mapping[str, str]) -> dict[str, str]:
    names = {"media_id": "MediaId", "title": "Title", "description": "Description"}
    return {name: content[key] for key, name in names.items() if key in content}


def _music(content: Mapping[str, str]) -> dict[str, Any]:
    names = {
        "title": "Title",
        "description": "Description",
        "musicurl": "MusicUrl",
        "hqmusicurl": "HQMusicUrl",
        "thumb_media_id": "ThumbMediaId",
    }
    return {"Music": {name: content[key] for key, name in names.items() if key in content}}


def _news(content: Mapping[str, Any]) -> dict[str, Any]:
    names = {"title": "Title", "description": "Description", "picurl": "PicUrl", "url": "Url"}
    items = [{name: one.get(key, "") for key, name in names.items()} for one in content["articles"]]
    return {"ArticleCount": len(items), "Articles": {"item": items}}


_PASSIVE: dict[str, Any] = {
    "text": lambda content: {"Content": content["content"]},
    "image": lambda content: {"Image": _titled(content)},
    "voice": lambda content: {"Voice": _titled(content)},
    "video": lambda content: {"Video": _titled(content)},
    "music": _music,
    "news": _news,
}
