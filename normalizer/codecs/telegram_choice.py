"""Keyboards: how a choice looks in Telegram (https://core.telegram.org/bots/features#keyboards)."""

from __future__ import annotations

from typing import Any

from normalizer import parts as p
from normalizer.errors import Unsendable

CALLBACK_BYTES = 64
"""The longest `callback_data` (InlineKeyboardButton)."""

KINDS = ("buttons", "list", "quick_replies", "cta_url", "location_request")


def markup(choice: p.Choice) -> dict[str, Any]:
    """Render a choice as `reply_markup`; raises `Unsendable`.

    Buttons and links stand under the message; their `id` comes back in a callback. Lists and quick replies replace the
    keyboard of the person, and what comes back is the title as an ordinary text.
    """
    if choice.kind not in KINDS:
        raise Unsendable(f"choice of kind {choice.kind}", KINDS)
    if choice.kind == "location_request":
        title = choice.items[0].title if choice.items else choice.body
        return _keyboard([{"text": title, "request_location": True}])
    if not choice.items:
        raise Unsendable("choice without items", KINDS)
    if choice.kind in {"list", "quick_replies"}:
        return _keyboard([{"text": item.title} for item in choice.items])
    return {"inline_keyboard": [[_button(choice, item)] for item in choice.items]}


def _keyboard(buttons: list[dict[str, Any]]) -> dict[str, Any]:
    return {"keyboard": [[button] for button in buttons], "one_time_keyboard": True, "resize_keyboard": True}


def _button(choice: p.Choice, item: p.ChoiceItem) -> dict[str, Any]:
    if item.url:
        return {"text": item.title, "url": item.url}
    if choice.kind == "cta_url":
        raise Unsendable("choice of kind cta_url with an item without `url`", KINDS)
    if not 1 <= len(item.id.encode()) <= CALLBACK_BYTES:
        raise Unsendable(f"choice item id of more than {CALLBACK_BYTES} bytes, or none", KINDS)
    return {"text": item.title, "callback_data": item.id}
