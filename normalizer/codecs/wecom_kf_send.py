"""From the model to WeCom customer service: messages, and those that answer an event.

https://developer.work.weixin.qq.com/document/path/94677
https://developer.work.weixin.qq.com/document/path/95122
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs.wecom_kf_frame import SCHEME
from normalizer.errors import Unsendable
from normalizer.model import Address
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split

TEXT_MAX = 2048
"""Bytes of UTF-8 in one text."""
ITEMS_MAX = 10
HEAD_MAX, ITEM_MAX = 1024, 128
"""Bytes of a menu's text, and of one of its items."""

SENDABLE = ("text", "image", "audio", "video", "file", "location", "choice", "card")
CHOICES = {"buttons": ITEMS_MAX, "quick_replies": ITEMS_MAX, "list": ITEMS_MAX, "cta_url": ITEMS_MAX}
SEND, ON_EVENT = "/cgi-bin/kf/send_msg", "/cgi-bin/kf/send_msg_on_event"
CODE = "code"
"""Key in `metadata.wecom-kf` of the code of an event (`welcome_code`, `msg_code`) that a message answers."""

Body = tuple[str, Any]
"""`msgtype` and what stands under that name."""


def send(message: Outbound, account: str | None) -> list[Wire]:
    """Render a message as calls of the API, in order; raises `Unsendable`.

    Args:
        message: with its media uploaded; with a `code` it answers an event.
        account: sends where the address names none.
    """
    sender, customer = recipient(message.to, account)
    code = message.metadata.get(SCHEME, {}).get(CODE)
    bodies = [body for part in message.parts for body in _bodies(part)]
    if not bodies:
        raise Unsendable("blank text", SENDABLE)
    if code and (len(bodies) > 1 or bodies[0][0] not in {"text", "msgmenu"}):
        raise Unsendable("an answer to an event that is not one text or menu", ("text", "choice"))
    wires = []
    for index, (kind, content) in enumerate(bodies):
        # Our own id: WeCom takes it once, so that a message whose answer got lost is not sent twice.
        body = {"msgid": ids.digest(message.id, str(index)), "msgtype": kind, kind: content}
        head = {"code": code} if code else {"touser": customer, "open_kfid": sender}
        wires.append(build.post(ON_EVENT if code else SEND, {**head, **body}))
    return wires


def answers_event(message: Outbound) -> bool:
    """Tell whether a message can be sent as the answer to an event: one text or one menu."""
    (part, *others) = message.parts or (p.System(event=""),)
    try:
        bodies = [] if others or not isinstance(part, p.Text | p.Choice) else list(_bodies(part))
    except Unsendable:
        return False
    return len(bodies) == 1


def recipient(to: Address, account: str | None) -> tuple[str, str]:
    """Read ``<open_kfid>/<external_userid>``, or an external_userid alone; raises `Unsendable`."""
    named, _, customer = to.value.rpartition("/")
    sender = named or account or ""
    if to.scheme != SCHEME or not customer or not sender:
        raise Unsendable("an address without customer-service account", ("wecom-kf:<open_kfid>/<external_userid>",))
    return sender, customer


def _bodies(part: AnyPart) -> Iterator[Body]:
    match part:
        case p.Text(body=body):
            yield from _texts(body)
        case p.Image() | p.Audio() | p.Video() | p.File():
            yield _media(part)
            yield from _texts(part.media.caption or "")
        case p.Location():
            yield "location", _location(part)
        case p.Choice():
            yield "msgmenu", _menu(part)
        case p.Card(items=items):
            for item in items:
                yield "link", _link(item)
        case _:
            raise Unsendable(str(part.__struct_config__.tag), SENDABLE)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _texts(body: str) -> Iterator[Body]:
    for piece in split(body, TEXT_MAX, _bytes):
        if piece.strip():
            yield "text", {"content": piece}


_KINDS = {"image": "image", "audio": "voice", "video": "video", "file": "file"}


def _media(part: p.Image | p.Audio | p.Video | p.File) -> Body:
    tag = str(part.__struct_config__.tag)
    if not part.media.provider_id:
        raise Unsendable(f"{tag} without `provider_id`", SENDABLE)
    return _KINDS[tag], {"media_id": part.media.provider_id}


def _location(part: p.Location) -> dict[str, Any]:
    words = {name: value for name, value in (("name", part.name), ("address", part.address)) if value}
    return {**words, "latitude": part.lat, "longitude": part.lon}


def _menu(part: p.Choice) -> dict[str, Any]:
    """Render a choice; everything but links comes back with its id (`menu_id`)."""
    too_long = _bytes(part.body) > HEAD_MAX or any(_bytes(item.title) > ITEM_MAX for item in part.items)
    if part.kind not in CHOICES or not 0 < len(part.items) <= ITEMS_MAX or too_long:
        raise Unsendable(
            f"a choice of kind {part.kind} with {len(part.items)} items",
            (f"1 to {ITEMS_MAX} items of at most {ITEM_MAX} bytes, below at most {HEAD_MAX} bytes", *CHOICES),
        )
    rows = [
        {"type": "view", "view": {"url": item.url, "content": item.title}}
        if item.url
        else {"type": "click", "click": {"id": item.id, "content": item.title}}
        for item in part.items
    ]
    return {"head_content": part.body, "list": rows}


def _link(item: p.CardItem) -> dict[str, Any]:
    url = next((choice.url for choice in item.items if choice.url), None)
    picture = item.media.provider_id if item.media is not None else None
    if not url or not picture:
        raise Unsendable("a card without link and picture", ("card with a link and a picture",))
    words = {"desc": item.body} if item.body else {}
    return {"title": item.title, **words, "url": url, "thumb_media_id": picture}
