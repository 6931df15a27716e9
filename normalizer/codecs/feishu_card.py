"""Choices and cards as interactive messages (https://open.feishu.cn/document/feishu-cards/card-json-structure).

Of the two structures of cards this is the first, which every client shows. What is pressed comes back as
`card.action.trigger` with the `value` of the button, or with the option of the menu.
"""

from __future__ import annotations

from typing import Any

import msgspec

from normalizer import parts as p
from normalizer.errors import Unsendable

CARD_MAX = 30 * 1024
"""Bytes of a card (https://open.feishu.cn/document/server-docs/im-v1/message/create)."""
TITLE_MAX, ID_MAX, URL_MAX = 100, 500, 2000
CHOICES = {"buttons": 20, "quick_replies": 20, "cta_url": 20, "list": 100}

Card = dict[str, Any]


def choice(part: p.Choice) -> Card:
    """Render a question with buttons, or with a menu; raises `Unsendable`."""
    if part.kind not in CHOICES:
        raise Unsendable(f"choice of kind {part.kind}", tuple(CHOICES))
    if not part.body.strip():
        raise Unsendable("a choice without a question", ("a `body`",))
    if not 1 <= len(part.items) <= CHOICES[part.kind]:
        raise Unsendable(f"{part.kind} with {len(part.items)} items", (f"1 to {CHOICES[part.kind]} items",))
    described = [f"{item.title}: {item.description}" for item in part.items if item.description]
    asked = [_words("\n".join([part.body, *described]))]
    if part.kind == "list":
        return _card([*asked, _menu(part.items)])
    return _card([*asked, _buttons(part.items, links=part.kind == "cta_url")])


def cards(items: tuple[p.CardItem, ...]) -> Card:
    """Render cards one below the other; the title of a single one heads it. Raises `Unsendable`."""
    if not items:
        raise Unsendable("no card", ("a card",))
    elements: list[Card] = []
    for item in items:
        if elements:
            elements.append({"tag": "hr"})
        if item.media is not None:
            elements.append(_image(item.media, item.title))
        words = [item.title if len(items) > 1 else "", item.body or ""]
        elements += [_words(one) for one in words if one.strip()]
        if item.items:
            elements.append(_buttons(item.items, links=False))
    header = {"header": {"title": _plain(items[0].title)}} if len(items) == 1 and items[0].title.strip() else {}
    if not elements and not header:
        raise Unsendable("an empty card", ("a title, a text or a picture",))
    return _card(elements, header)


def _card(elements: list[Card], header: Card | None = None) -> Card:
    card = {"config": {"wide_screen_mode": True, "update_multi": True}, **(header or {}), "elements": elements}
    size = len(msgspec.json.encode(card))
    if size > CARD_MAX:
        raise Unsendable(f"a card of {size} bytes", (f"at most {CARD_MAX} bytes",))
    return card


def _plain(words: str) -> Card:
    return {"tag": "plain_text", "content": words}


def _words(words: str) -> Card:
    return {"tag": "div", "text": _plain(words)}


def _image(media: p.Media, alt: str) -> Card:
    key = (media.provider_id or "").rpartition(":")[2]
    if not key:
        raise Unsendable("a card's picture without `sha256`, `url` or `provider_id`", ("a picture to upload",))
    return {"tag": "img", "img_key": key, "alt": _plain(media.caption or alt)}


def _buttons(items: tuple[p.ChoiceItem, ...], *, links: bool) -> Card:
    if len(items) > CHOICES["buttons"]:
        raise Unsendable(f"{len(items)} buttons", (f"at most {CHOICES['buttons']} buttons",))
    return {"tag": "action", "actions": [_button(item, links=links) for item in items]}


def _button(item: p.ChoiceItem, *, links: bool) -> Card:
    title = _fits(item.title, "title", TITLE_MAX)
    button: Card = {"tag": "button", "type": "default", "text": _plain(title)}
    if item.url:
        return {**button, "url": _fits(item.url, "url", URL_MAX)}
    if links:
        raise Unsendable("choice of kind cta_url with an item without `url`", tuple(CHOICES))
    return {**button, "value": {"id": _fits(item.id, "id", ID_MAX), "title": title}}


def _menu(items: tuple[p.ChoiceItem, ...]) -> Card:
    options = [
        {"text": _plain(_fits(item.title, "title", TITLE_MAX)), "value": _fits(item.id, "id", ID_MAX)} for item in items
    ]
    return {"tag": "action", "actions": [{"tag": "select_static", "placeholder": _plain("…"), "options": options}]}


def _fits(words: str, what: str, most: int) -> str:
    if not 1 <= len(words) <= most:
        raise Unsendable(f"choice {what} of {len(words)} characters", (f"1 to {most} characters",))
    return words
