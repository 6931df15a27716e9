"""What a visitor is shown of a message: checked and made safe, so that a client may show it as it is."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlsplit

import nh3
from msgspec.structs import replace

from normalizer import parts as p
from normalizer.codecs.chat_types import OURS, Author, Shown
from normalizer.errors import Unsendable
from normalizer.model import MessageRef
from normalizer.parts import AnyPart
from normalizer.raw import Outbound
from normalizer.text import plain

SENDABLE = ("text", "image", "audio", "video", "file", "sticker", "location", "contact", "choice", "card", "carousel")
CHOICES = {"buttons": 20, "list": 50, "quick_replies": 20, "cta_url": 10}
"""Kinds of choices, and how many items each may have."""
REQUESTS = ("message.edit", "message.delete", "typing.send", "receipt.send", "presence.send", "conversation.end")
HTML_MAX, TAGS_MAX = 65_536, 2000
"""Beyond it HTML is refused: cleaning it would take long."""
_CLEANER = nh3.Cleaner(
    tags={*("a", "b", "i", "em", "strong", "u", "s", "p", "br", "ul", "ol", "li", "code", "pre", "blockquote")},
    attributes={"a": {"href"}},
    url_schemes={"http", "https", "mailto", "tel"},
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
)
_STRIPPER = nh3.Cleaner(tags=set())
_BREAK = re.compile(r"<br>|</(?:p|li|pre|blockquote)>")
_ROLES = {"agent": "agent", "bot": "bot", "system": "system"}


def shown(message: Outbound) -> Shown:
    """Make what the visitor is shown of a message, but for its time; raises `Unsendable`."""
    parts = safe(message.parts)
    return Shown(
        id=message.id,
        revision=0,
        sender=author(message.metadata.get("chat", {})),
        text=words(parts),
        parts=parts,
        reply_to=named(message.reply_to),
    )


def author(given: dict[str, str]) -> Author:
    """Read who writes from ``metadata.chat`` of a message: `name`, `role` (``agent``), `avatar`."""
    role, avatar = given.get("role", "agent"), given.get("avatar")
    if role not in _ROLES:
        raise Unsendable(f"metadata.chat.role {role!r}", tuple(_ROLES))
    return Author(role=_ROLES[role], name=given.get("name"), avatar=None if avatar is None else _web(avatar))  # type: ignore[arg-type]


def named(message: MessageRef | None) -> str | None:
    """Return the id by which the visitor's side knows a message."""
    if message is None:
        return None
    return message.provider_id or (message.id if (message.id or "").startswith(OURS) else None)


def words(parts: tuple[AnyPart, ...]) -> str:
    """Render parts that are safe as plain text, without the tags of HTML."""
    return plain(
        [
            replace(part, body=_bare(part.body)) if isinstance(part, p.Text) and part.format == "html" else part
            for part in parts
        ]
    )


def _bare(body: str) -> str:
    return unescape(_STRIPPER.clean(_BREAK.sub("\n", body))).strip()


def safe(parts: tuple[AnyPart, ...]) -> tuple[AnyPart, ...]:
    """Check and clean parts; raises `Unsendable`."""
    return tuple(map(_safe, parts))


def _safe(part: AnyPart) -> AnyPart:
    match part:
        case p.Text(format="html", body=body):
            return replace(part, body=_html(body))
        case p.Image() | p.Audio() | p.Video() | p.File() | p.Sticker():
            return replace(part, media=_media(part.media))
        case p.Choice(kind=kind, items=items):
            if kind not in CHOICES or len(items) > CHOICES[kind]:
                raise Unsendable(f"{kind} with {len(items)} items", tuple(f"{k} with {n}" for k, n in CHOICES.items()))
            return replace(part, items=tuple(map(_item, items)))
        case p.Card(items=cards) | p.Carousel(items=cards):
            return replace(part, items=tuple(map(_card, cards)))
        case p.Text() | p.Location() | p.Contact():
            return part
        case _:
            raise Unsendable(str(part.__struct_config__.tag), SENDABLE)


def _card(card: p.CardItem) -> p.CardItem:
    media = None if card.media is None else _media(card.media)
    return replace(card, media=media, items=tuple(map(_item, card.items)))


def _item(item: p.ChoiceItem) -> p.ChoiceItem:
    return item if item.url is None else replace(item, url=_web(item.url))


def _media(media: p.Media) -> p.Media:
    """Pass a file of ours, which gets a link when it is shown, and one of somebody else's on the web."""
    if media.status == "stored" and media.sha256:
        return replace(media, url=None, expires_at=None)
    if media.url is None:
        raise Unsendable("a media without a stored file or `url`", ("media put in by POST /api/media", "a `url`"))
    return replace(media, url=_web(media.url))


def _web(url: str) -> str:
    """Return a URL that may be followed; raises `Unsendable` for ``javascript:`` and its like."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        fine = False
    if not fine or any(char <= " " or char == "\x7f" for char in url):
        raise Unsendable("a URL that is not absolute, or not of http or https", ("http", "https"))
    return url


def _html(body: str) -> str:
    if len(body) > HTML_MAX or body.count("<") > TAGS_MAX:
        raise Unsendable(f"HTML of {len(body)} characters", (f"HTML of {HTML_MAX} characters, {TAGS_MAX} tags",))
    return _CLEANER.clean(body)
