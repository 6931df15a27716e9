"""From the model to calls of Feishu's API.

https://open.feishu.cn/document/server-docs/im-v1/message/create
https://open.feishu.cn/document/server-docs/im-v1/message-content-description/create_json
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs.feishu_card import cards, choice
from normalizer.codecs.feishu_emoji import emoji_name
from normalizer.codecs.feishu_frame import SCHEME, UNION, USER
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, EditParams, Params, ReactParams
from normalizer.model import Address, MessageRef
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split

TEXT_MAX = 5000
"""Characters; with four bytes each they stay below the 30 KB of a rich text."""
SENDABLE = ("text", "image", "audio", "video", "file", "sticker", "contact", "choice", "card", "carousel")
REQUESTS = ("message.edit", "message.delete", "reaction.send")
FORMATS = ("plain", "markdown")
MESSAGES = "/open-apis/im/v1/messages"

_MESSAGE = re.compile(r"om_[\w-]{1,200}", re.ASCII)
_REACTION = re.compile(r"[\w=+/-]{1,200}", re.ASCII)
_PERSON = re.compile(r"ou_[\w-]{1,200}", re.ASCII)
_MARKED = re.compile(r"<|\]\(")
"""What Feishu takes for mark-up in a text: ``<at …>``, ``<b>``, ``[words](address)``."""
_IDS = (("oc_", "chat_id"), ("ou_", "open_id"), ("on_", "union_id"))

Body = tuple[str, dict[str, Any]]
"""Type and content of a message."""


def send(message: Outbound) -> Iterator[Wire]:
    """Render a message, in order; raises `Unsendable`.

    `metadata.feishu` may have ``markup`` (``true``): texts are Feishu's own mark-up, which can mention people, and
    ``reply_in_thread`` (``true``): an answer begins a thread.
    """
    own = message.metadata.get(SCHEME, {})
    bodies = [body for part in message.parts for body in _bodies(part, markup=own.get("markup") == "true")]
    if not bodies:
        raise Unsendable("blank text", SENDABLE)
    return iter([_call(message, number, kind, content) for number, (kind, content) in enumerate(bodies)])


def _call(message: Outbound, number: int, kind: str, content: dict[str, Any]) -> Wire:
    """Make one call; in a thread each is an answer, elsewhere only the first."""
    uuid = ids.digest("feishu", message.id, str(number))  # the same for an hour is sent once
    body = {"msg_type": kind, "content": msgspec.json.encode(content).decode(), "uuid": uuid}
    root = _thread(message.thread)
    native = message.reply_to.provider_id if message.reply_to and not number else None
    answered = native if native is not None and _MESSAGE.fullmatch(native) else root  # a press is no message
    if answered is None:
        id_type, native_id = target(message.to)
        return build.post(f"{MESSAGES}?receive_id_type={id_type}", {"receive_id": native_id, **body})
    threaded = root is not None or message.metadata.get(SCHEME, {}).get("reply_in_thread") == "true"
    return build.post(f"{MESSAGES}/{answered}/reply", {**body, "reply_in_thread": threaded})


def _thread(native: str | None) -> str | None:
    if native is not None and not _MESSAGE.fullmatch(native):
        raise Unsendable("a thread that is no message id", ("the id of the thread's first message (om_…)",))
    return native


def target(to: Address) -> tuple[str, str]:
    """Read an address as `receive_id_type` and id; raises `Unsendable`."""
    if to.scheme == SCHEME:
        found = next((kind for prefix, kind in _IDS if to.value.startswith(prefix)), None)
        if found is not None:
            return found, to.value
    if to.scheme == UNION and to.value:
        return "union_id", to.value
    if to.scheme == USER and to.value:
        return "user_id", to.value.rpartition("/")[2]
    if to.scheme == "mailto" and "@" in to.value:
        return "email", to.value
    known = ("feishu:<chat_id or open_id>", f"{UNION}:<union_id>", f"{USER}:<tenant>/<user_id>", "mailto:<address>")
    raise Unsendable("an address that is none of Feishu's", known)


def _bodies(part: AnyPart, *, markup: bool = False) -> Iterator[Body]:
    match part:
        case p.Text():
            yield from _texts(part, markup=markup)
        case p.Image(media=media):
            yield from _image(media)
        case p.Audio(media=media) | p.Video(media=media) | p.File(media=media):
            yield _file(part, media)
            yield from _texts(p.Text(body=media.caption or ""))
        case p.Sticker(media=media):
            yield "sticker", {"file_key": _key(media, "sticker")[1]}
        case p.Contact():
            yield from _contact(part)
        case p.Choice():
            yield "interactive", choice(part)
        case p.Card(items=items) | p.Carousel(items=items):
            yield "interactive", cards(items)
        case _:
            raise Unsendable(str(part.__struct_config__.tag), SENDABLE)


def _texts(part: p.Text, *, markup: bool = False) -> Iterator[Body]:
    if part.format not in FORMATS:
        raise Unsendable(f"text of format {part.format}", FORMATS)
    for piece in split(part.body, TEXT_MAX):
        if not piece.strip():
            continue
        if part.format == "markdown":
            yield _post([[{"tag": "md", "text": piece}]])
        elif markup or not _MARKED.search(piece):
            yield "text", {"text": piece}
        else:  # rich text, whose pieces are shown as they are
            yield _post([[{"tag": "text", "text": line}] for line in piece.split("\n")])


def _post(paragraphs: list[list[dict[str, Any]]]) -> Body:
    return "post", {"zh_cn": {"content": paragraphs}}


def _key(media: p.Media, tag: str) -> tuple[str, str]:
    """Read what was uploaded, and as what: the type stands before the key."""
    kind, _, key = (media.provider_id or "").rpartition(":")
    if not key or "/" in key:
        raise Unsendable(f"{tag} without `sha256`, `url` or a key of Feishu's", SENDABLE)
    return kind, key


def _image(media: p.Media) -> Iterator[Body]:
    _, key = _key(media, "image")
    first, *rest = [*split((media.caption or "").strip(), TEXT_MAX)] or [""]
    if not first:
        yield "image", {"image_key": key}
        return
    lines: list[list[dict[str, Any]]] = [[{"tag": "text", "text": line}] for line in first.split("\n")]
    yield _post([[{"tag": "img", "image_key": key}], *lines])
    yield from _texts(p.Text(body="".join(rest)))


def _file(part: AnyPart, media: p.Media) -> Body:
    tag = str(part.__struct_config__.tag)
    kind, key = _key(media, tag)
    usual = {"audio": "audio", "video": "media"}.get(tag, "file")
    return kind or usual, {"file_key": key}


def _contact(part: p.Contact) -> Iterator[Body]:
    if _PERSON.fullmatch(part.name):
        yield "share_user", {"user_id": part.name}
    else:
        yield from _texts(p.Text(body="\n".join([part.name, *part.phones, *part.emails])))


def request(method: str, params: Params) -> Wire:
    """Render a request other than `message.send`; raises `Unsendable`."""
    match params:
        case EditParams():
            return _edit(method, params)
        case DeleteParams():
            return Wire(method="DELETE", url=f"{MESSAGES}/{which(method, params.message)}")
        case ReactParams(emoji=emoji) if emoji:
            body = {"reaction_type": {"emoji_type": emoji_name(emoji)}}
            return build.post(f"{MESSAGES}/{which(method, params.message)}/reactions", body)
        case _:
            raise Unsendable(method, REQUESTS)


def reactions_of(method: str, params: ReactParams, page: str) -> Wire:
    """Ask for the reactions to a message, page by page; raises `Unsendable`."""
    token = f"&page_token={page}" if _REACTION.fullmatch(page) else ""
    return Wire(method="GET", url=f"{MESSAGES}/{which(method, params.message)}/reactions?page_size=50{token}")


def unreact(method: str, params: ReactParams, reaction: str) -> Wire:
    """Take one reaction back; raises `Unsendable`."""
    if not _REACTION.fullmatch(reaction):
        raise Unsendable("a reaction whose id is none", REQUESTS)
    return Wire(method="DELETE", url=f"{MESSAGES}/{which(method, params.message)}/reactions/{reaction}")


def which(method: str, message: MessageRef) -> str:
    """Read the id of the message that a request is about; raises `Unsendable`."""
    native = message.provider_id or ""
    if not _MESSAGE.fullmatch(native):
        raise Unsendable(f"{method} without Feishu's `message.provider_id`", ("the id of a message (om_…)",))
    return native


def _edit(method: str, params: EditParams) -> Wire:
    """Change a text by PUT, a card by PATCH; Feishu changes nothing else."""
    parts = params.parts or ((p.Text(body=params.text),) if params.text else ())
    bodies = [body for part in parts for body in _bodies(part)]
    if len(bodies) != 1 or bodies[0][0] not in {"text", "post", "interactive"}:
        raise Unsendable("an edit that is not exactly one text or card", ("one text, choice or card",))
    kind, content = bodies[0]
    body = {"content": msgspec.json.encode(content).decode()}
    url = f"{MESSAGES}/{which(method, params.message)}"
    if kind == "interactive":
        return replace(build.post(url, body), method="PATCH")
    return replace(build.post(url, {"msg_type": kind, **body}), method="PUT")
