"""Choices and cards as Markdown and as action cards.

https://open.dingtalk.com/document/orgapp/robot-message-type

A link ``dtmd://dingtalkclient/sendMessage?content=…`` makes the person who taps it say that text; it works in Markdown
messages only. Buttons of action cards open addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from normalizer import parts as p
from normalizer.errors import Unsendable

SAY = "dtmd://dingtalkclient/sendMessage?content="
HEADLINE_MAX = 40
BODY_MAX = 2000
BUTTONS_MAX = 5

Message = tuple[str, dict[str, str]]
"""`msgKey` and what stands in `msgParam`."""


def headline(words: str) -> str:
    """Say in one line what the list of chats shows of a Markdown message."""
    line = next((line.strip() for line in words.splitlines() if line.strip()), "")
    return line if len(line) <= HEADLINE_MAX else line[: HEADLINE_MAX - 1].rstrip() + "…"


def choice(part: p.Choice, most: Mapping[str, int]) -> Message:
    """Render a choice; raises `Unsendable`."""
    if part.kind not in most:
        raise Unsendable(f"a choice of kind {part.kind}", tuple(most))
    if not 1 <= len(part.items) <= most[part.kind]:
        raise Unsendable(f"a choice with {len(part.items)} items", (f"1 to {most[part.kind]} items",))
    if len(part.body) > BODY_MAX or not part.body.strip():
        raise Unsendable(f"a question of {len(part.body)} characters", (f"1 to {BODY_MAX} characters",))
    if part.kind != "cta_url":
        return _markdown(part.body, _lines(part.body), part.items)
    return _action_card(part.body, _lines(part.body), part.items)


def cards(items: tuple[p.CardItem, ...]) -> Iterator[Message]:
    """Render cards, a message for each; raises `Unsendable`."""
    if not items:
        raise Unsendable("no card", ("1 card or more",))
    for item in items:
        picture = _picture(item.media) if item.media is not None else ""
        text = "\n\n".join(filter(None, (picture, f"### {item.title}" if item.title else "", _lines(item.body or ""))))
        if item.items and len(item.items) <= BUTTONS_MAX and all(one.url for one in item.items):
            yield _action_card(item.title, text, item.items)
        else:
            yield _markdown(item.title, text, item.items)


def offered(parts: tuple[p.AnyPart, ...]) -> dict[str, str]:
    """Say what tapping makes people say: title → id of the item."""
    found: dict[str, str] = {}
    for part in parts:
        match part:
            case p.Choice(items=items):
                found |= _said(items)
            case p.Card(items=shown) | p.Carousel(items=shown):
                for card in shown:
                    found |= _said(card.items)
            case _:
                pass
    return found


def _said(items: tuple[p.ChoiceItem, ...]) -> dict[str, str]:
    return {one.title.strip(): one.id for one in items if not one.url}


def _picture(media: p.Media) -> str:
    native = media.provider_id or media.url
    if not native:
        raise Unsendable("a card's picture without `url`", ("a `url`, or a file of ours",))
    return f"![]({native})"


def _markdown(title: str, text: str, items: tuple[p.ChoiceItem, ...]) -> Message:
    links = [_linked(item) for item in items]
    return "sampleMarkdown", {"title": headline(title), "text": "\n\n".join([text, *links])}


def _linked(item: p.ChoiceItem) -> str:
    more = f" {_lines(item.description)}" if item.description else ""
    address = item.url or SAY + quote(_title(item), safe="")
    return f"- [{_escaped(_title(item))}]({address}){more}"


def _action_card(title: str, text: str, items: tuple[p.ChoiceItem, ...]) -> Message:
    if not all(item.url for item in items):
        raise Unsendable("a choice of kind cta_url with an item without `url`", ("`url` on each item",))
    param = {"title": headline(title), "text": text}
    if len(items) == 1:
        return "sampleActionCard", {**param, "singleTitle": _title(items[0]), "singleURL": items[0].url or ""}
    for number, item in enumerate(items, 1):
        param |= {f"actionTitle{number}": _title(item), f"actionURL{number}": item.url or ""}
    return f"sampleActionCard{len(items)}", param


def _title(item: p.ChoiceItem) -> str:
    if not item.title.strip():
        raise Unsendable("a choice item without `title`", ("a `title` on each item",))
    return item.title.strip()


def _lines(words: str) -> str:
    """Keep line breaks, which Markdown would join."""
    return words.strip().replace("\n", "  \n")


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
