"""Choices as keyboards, cards as rich media.

https://developers.viber.com/docs/tools/keyboards/
https://developers.viber.com/docs/api/rest-bot-api/#rich-media-message--carousel-content-message
"""

from __future__ import annotations

from html import escape
from typing import Any

from normalizer import parts as p
from normalizer.errors import Unsendable

Object = dict[str, Any]
"""A JSON object of Viber's."""

CHOICES = {"buttons": 24, "list": 24, "quick_replies": 24, "cta_url": 24, "location_request": 1}
"""Most items by kind: one per row of a keyboard."""
LOCATION_API, RICH_MEDIA_API = 3, 7
"""`min_api_version`: which clients can show it."""
CARDS_MAX, COLUMNS, ROWS_MAX, PICTURE_ROWS, TEXT_ROWS = 6, 6, 7, 3, 2


def keyboard(part: p.Choice) -> Object:
    """Render the items of a choice as `keyboard`; raises `Unsendable`.

    A button sends its item's `id`, silently: the person sees nothing, and we know that it was a button.
    """
    if part.kind not in CHOICES:
        raise Unsendable(f"a choice of kind {part.kind}", tuple(CHOICES))
    if part.kind == "location_request":
        label = part.items[0].title if part.items else part.body
        button = {"ActionType": "location-picker", "ActionBody": "location", "Text": escape(label)}
        return {"min_api_version": LOCATION_API, **_keyboard([button])}
    if not 1 <= len(part.items) <= CHOICES[part.kind]:
        raise Unsendable(f"a choice with {len(part.items)} items", (f"1 to {CHOICES[part.kind]} items",))
    if part.kind == "cta_url" and not all(item.url for item in part.items):
        raise Unsendable("a choice of kind cta_url with an item without `url`", ("`url` on each item",))
    return _keyboard([_button(item) for item in part.items])


def _keyboard(buttons: list[Object]) -> Object:
    return {
        "keyboard": {
            "Type": "keyboard",
            "DefaultHeight": False,
            "Buttons": [{"Columns": COLUMNS, "Rows": 1, **button} for button in buttons],
        }
    }


def _button(item: p.ChoiceItem) -> Object:
    if not item.title:
        raise Unsendable("a choice item without `title`", ("a `title` on each item",))
    words = "<br>".join(escape(line) for line in (item.title, item.description) if line)
    if item.url:
        return {"ActionType": "open-url", "ActionBody": item.url, "Text": words}
    if not item.id.strip():
        raise Unsendable("a choice item without `id`", ("an `id` on each item",))
    return {"ActionType": "reply", "ActionBody": item.id, "Text": words, "Silent": True}


def cards(items: tuple[p.CardItem, ...]) -> Object:
    """Render cards as rich media, side by side; raises `Unsendable`.

    All cards have as many rows: what one has less of than the others is added to its text.
    """
    if not 1 <= len(items) <= CARDS_MAX:
        raise Unsendable(f"{len(items)} cards", (f"1 to {CARDS_MAX} cards",))
    rows = max(TEXT_ROWS + PICTURE_ROWS * (item.media is not None) + len(item.items) for item in items)
    if rows > ROWS_MAX:
        raise Unsendable("a card with too many choices", ("at most 2 below a picture, 5 without",))
    rich = {
        "Type": "rich_media",
        "ButtonsGroupColumns": COLUMNS,
        "ButtonsGroupRows": rows,
        "BgColor": "#FFFFFF",
        "Buttons": [button for item in items for button in _card(item, rows)],
    }
    words = " / ".join(item.title for item in items)
    return {"type": "rich_media", "min_api_version": RICH_MEDIA_API, "rich_media": rich, "alt_text": words}


def _card(item: p.CardItem, rows: int) -> list[Object]:
    nothing = {"ActionType": "none", "ActionBody": "none"}
    found: list[Object] = []
    if item.media is not None:
        if not item.media.url:
            raise Unsendable("a card's picture without `url`", ("a `url`, or a file of ours",))
        found.append({"Rows": PICTURE_ROWS, **nothing, "Image": item.media.url})
    left = rows - len(item.items) - PICTURE_ROWS * len(found)
    words = f"<b>{escape(item.title)}</b>" + (f"<br>{escape(item.body)}" if item.body else "")
    found.append({"Rows": left, **nothing, "Text": words, "TextHAlign": "left"})
    found += [{"Rows": 1, **_button(one)} for one in item.items]
    return [{"Columns": COLUMNS, **button} for button in found]
