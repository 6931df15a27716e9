"""Choices as components (https://docs.discord.com/developers/components/reference)."""

from __future__ import annotations

from typing import Any

from normalizer import parts as p
from normalizer.errors import Unsendable

ROW, BUTTON, SELECT = 1, 2, 3
SECONDARY, LINK = 2, 5
"""Styles of a button."""
IN_ROW, ROWS = 5, 5
LABEL_MAX, ID_MAX, URL_MAX = 80, 100, 512
OPTION_MAX = 100
"""Characters of label, value and description of an option."""
MENU = "list"
"""`custom_id` of a menu."""

CHOICES = {"buttons": IN_ROW * ROWS, "quick_replies": IN_ROW * ROWS, "cta_url": IN_ROW * ROWS, "list": 25}

Component = dict[str, Any]


def components(choice: p.Choice) -> list[Component]:
    """Render a choice; raises `Unsendable`."""
    most = CHOICES.get(choice.kind)
    if most is None:
        raise Unsendable(f"choice of kind {choice.kind}", tuple(CHOICES))
    if not 1 <= len(choice.items) <= most:
        raise Unsendable(f"{choice.kind} with {len(choice.items)} items", (f"1 to {most} items",))
    if choice.kind == "list":
        options = [_option(item) for item in choice.items]
        return [_row([{"type": SELECT, "custom_id": MENU, "options": options}])]
    buttons = [_button(item, links=choice.kind == "cta_url") for item in choice.items]
    names = [one["custom_id"] for one in buttons if "custom_id" in one]
    if len(set(names)) < len(names):
        raise Unsendable("two items of one `id`", ("items of different ids",))
    return [_row(buttons[start : start + IN_ROW]) for start in range(0, len(buttons), IN_ROW)]


def _row(inner: list[Component]) -> Component:
    return {"type": ROW, "components": inner}


def _button(item: p.ChoiceItem, *, links: bool) -> Component:
    label = _fits(item.title, "title", LABEL_MAX)
    if item.url:
        return {"type": BUTTON, "style": LINK, "label": label, "url": _fits(item.url, "url", URL_MAX)}
    if links:
        raise Unsendable("choice of kind cta_url with an item without `url`", tuple(CHOICES))
    return {"type": BUTTON, "style": SECONDARY, "label": label, "custom_id": _fits(item.id, "id", ID_MAX)}


def _option(item: p.ChoiceItem) -> Component:
    option = {"label": _fits(item.title, "title", OPTION_MAX), "value": _fits(item.id, "id", OPTION_MAX)}
    if item.description:
        option["description"] = _fits(item.description, "description", OPTION_MAX)
    return option


def _fits(words: str, what: str, most: int) -> str:
    if not 1 <= len(words) <= most:
        raise Unsendable(f"choice {what} of {len(words)} characters", (f"1 to {most} characters",))
    return words
