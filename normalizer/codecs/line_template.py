"""Choices and cards as LINE shows them: templates, and quick replies under a text.

https://developers.line.biz/en/reference/messaging-api/#template-messages
https://developers.line.biz/en/docs/messaging-api/using-quick-reply/
"""

from __future__ import annotations

from typing import Any

from normalizer import parts as p
from normalizer.errors import Unsendable
from normalizer.split import split, utf16_length

Object = dict[str, Any]
"""A message object."""

CHOICES = {"buttons": 13, "list": 13, "quick_replies": 13, "cta_url": 13, "location_request": 1}
"""Most items by kind: quick replies take 13, templates fewer."""
BUTTONS_MAX, CONFIRM, COLUMNS_MAX, COLUMN_ACTIONS_MAX = 4, 2, 10, 3
LABEL_MAX, DATA_MAX, DISPLAY_MAX, URL_MAX, ALT_MAX, TITLE_MAX = 20, 300, 300, 2000, 400, 40
PLAIN_MAX, TITLED_MAX, CONFIRM_MAX, COLUMN_PLAIN_MAX, COLUMN_TITLED_MAX = 160, 60, 240, 120, 60
"""Characters of a template's text; a title or a picture leaves less room."""


def text_object(body: str) -> Object:
    """Write a text."""
    return {"type": "text", "text": body}


def short(text: str, limit: int) -> str:
    """Cut a text, visibly, at a limit in UTF-16 units, at least 3."""
    if utf16_length(text) <= limit:
        return text
    return next(split(text, limit - 1, utf16_length)).rstrip() + "…"


def secure(url: str | None, tag: str) -> str:
    """Return an address that LINE's clients fetch from; raises `Unsendable`."""
    if not url or not url.startswith("https://") or len(url) > URL_MAX:
        raise Unsendable(f"{tag} without an https `url` of at most {URL_MAX} characters", ("an https `url`",))
    return url


def choice(part: p.Choice) -> Object:
    """Render a question: as a template if it fits into one, else as a text with quick replies; raises `Unsendable`.

    What a person chooses comes back as `choice_reply`; quick replies vanish once the next message comes.
    """
    if part.kind not in CHOICES:
        raise Unsendable(f"a choice of kind {part.kind}", tuple(CHOICES))
    if not part.body.strip():
        raise Unsendable("a choice without a question", ("a `body`",))
    if part.kind == "location_request":
        label = part.items[0].title if part.items else part.body
        return _quick(part.body, [{"type": "location", "label": short(label, LABEL_MAX)}])
    if not 1 <= len(part.items) <= CHOICES[part.kind]:
        raise Unsendable(f"a choice with {len(part.items)} items", (f"1 to {CHOICES[part.kind]} items",))
    if part.kind == "cta_url" and not all(item.url for item in part.items):
        raise Unsendable("a choice of kind cta_url with an item without `url`", ("`url` on each item",))
    template = _template(part)
    return _quick(part.body, [_action(item) for item in part.items]) if template is None else template


def _quick(body: str, actions: list[dict[str, str]]) -> Object:
    items = [{"type": "action", "action": action} for action in actions]
    return {**text_object(body), "quickReply": {"items": items}}


def _action(item: p.ChoiceItem) -> dict[str, str]:
    if not item.title:
        raise Unsendable("a choice item without `title`", ("a `title` on each item",))
    label = short(item.title, LABEL_MAX)
    if item.url:
        return {"type": "uri", "label": label, "uri": item.url}
    if not 1 <= utf16_length(item.id) <= DATA_MAX:
        raise Unsendable(f"a choice item id of more than {DATA_MAX} characters, or none", ("an `id` on each item",))
    return {"type": "postback", "label": label, "data": item.id, "displayText": short(item.title, DISPLAY_MAX)}


def _template(part: p.Choice) -> Object | None:
    described = [item for item in part.items if item.description]
    if part.kind == "list" and described:
        return _columns(part)
    if part.kind not in {"buttons", "cta_url"} or len(part.items) > BUTTONS_MAX or described:
        return None
    if len(part.items) == CONFIRM and utf16_length(part.body) <= CONFIRM_MAX:
        return _message(part.body, _body("confirm", part.body, part.items))
    if utf16_length(part.body) > PLAIN_MAX:
        return None
    return _message(part.body, _body("buttons", part.body, part.items))


def _body(kind: str, text: str, items: tuple[p.ChoiceItem, ...]) -> Object:
    return {"type": kind, "text": text, "actions": [_action(item) for item in items]}


def _message(alt: str, template: Object) -> Object:
    return {"type": "template", "altText": short(alt, ALT_MAX), "template": template}


def _columns(part: p.Choice) -> Object | None:
    """Show a list with descriptions as a carousel, one column per item; None if it does not fit."""
    fits = all(
        utf16_length(item.title) <= TITLE_MAX and 1 <= utf16_length(item.description or "") <= COLUMN_TITLED_MAX
        for item in part.items
    )
    if not fits or len(part.items) > COLUMNS_MAX:
        return None
    columns = [{"title": item.title, "text": item.description, "actions": [_action(item)]} for item in part.items]
    return _message(part.body, {"type": "carousel", "columns": columns})


def cards(items: tuple[p.CardItem, ...]) -> Object:
    """Render one card as a buttons template, several as a carousel; raises `Unsendable`."""
    if not 1 <= len(items) <= COLUMNS_MAX:
        raise Unsendable(f"{len(items)} cards", (f"1 to {COLUMNS_MAX} cards",))
    if len(items) == 1:
        return _message(items[0].title, {"type": "buttons", **_card(items[0], BUTTONS_MAX, PLAIN_MAX, TITLED_MAX)})
    columns = [_card(item, COLUMN_ACTIONS_MAX, COLUMN_PLAIN_MAX, COLUMN_TITLED_MAX) for item in items]
    for name in ("actions", "thumbnailImageUrl", "title"):
        if len({len(column.get(name, ())) if name == "actions" else name in column for column in columns}) > 1:
            raise Unsendable(f"cards with different numbers of {name}", ("as many on each card",))
    return _message(" / ".join(item.title for item in items), {"type": "carousel", "columns": columns})


def _card(item: p.CardItem, most: int, plain: int, titled: int) -> Object:
    if not 1 <= len(item.items) <= most:
        raise Unsendable(f"a card with {len(item.items)} choices", (f"1 to {most} choices on a card",))
    found: Object = {}
    if item.media is not None:
        found["thumbnailImageUrl"] = secure(item.media.url, "a card's picture")
    if item.body:
        found["title"] = _within(item.title, TITLE_MAX, "title")
    text = item.body or item.title
    return {
        **found,
        "text": _within(text, titled if found else plain, "text"),
        "actions": [_action(one) for one in item.items],
    }


def _within(text: str, limit: int, name: str) -> str:
    if not 1 <= utf16_length(text) <= limit:
        raise Unsendable(f"a card's {name} of more than {limit} characters, or none", (f"1 to {limit} characters",))
    return text
