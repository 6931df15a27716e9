"""Choices: how they look in WhatsApp.

https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/interactive-reply-buttons-messages
https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/interactive-list-messages
https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/interactive-cta-url-messages
https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/location-request-messages
https://developers.facebook.com/documentation/business-messaging/whatsapp/flows/guides/sendingaflow
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normalizer import parts as p
from normalizer.codecs.meta import present
from normalizer.errors import Unsendable

CHOICES = {"buttons": 3, "quick_replies": 3, "list": 10, "cta_url": 1, "location_request": 0, "form": 1}
"""Most items, by kind of choice."""

BODY_MAX, LIST_BODY_MAX = 1024, 4096
TITLE_MAX, ID_MAX = 20, 256
ROW_TITLE_MAX, ROW_ID_MAX, ROW_DESCRIPTION_MAX = 24, 200, 72
LIST_BUTTON = "Options"
"""What stands on the button that opens a list, unless `metadata.whatsapp.button` says otherwise."""


def body_max(choice: p.Choice) -> int:
    """How long the question may be."""
    return LIST_BODY_MAX if choice.kind == "list" else BODY_MAX


def interactive(choice: p.Choice, question: str, own: Mapping[str, str]) -> dict[str, Any]:
    """Render a choice.

    Args:
        choice: what is asked.
        question: its last words, not longer than `body_max`.
        own: `metadata.whatsapp`: ``header``, ``footer``, ``button`` (of a list), ``flow_token``, ``flow_screen``.

    Raises:
        Unsendable: too many items, or titles or ids that are too long or missing.
    """
    _check(choice)
    rest = {
        "body": {"text": question},
        **({"header": {"type": "text", "text": own["header"]}} if "header" in own else {}),
        **({"footer": {"text": own["footer"]}} if "footer" in own else {}),
    }
    match choice.kind:
        case "buttons" | "quick_replies":
            buttons = [{"type": "reply", "reply": {"id": one.id, "title": one.title}} for one in choice.items]
            return {"type": "button", **rest, "action": {"buttons": buttons}}
        case "list":
            rows = [present(id=one.id, title=one.title, description=one.description) for one in choice.items]
            action = {"button": own.get("button", LIST_BUTTON), "sections": [{"rows": rows}]}
            return {"type": "list", **rest, "action": action}
        case "cta_url":
            link = {"display_text": choice.items[0].title, "url": choice.items[0].url}
            return {"type": "cta_url", **rest, "action": {"name": "cta_url", "parameters": link}}
        case "location_request":
            return {"type": "location_request_message", "body": rest["body"], "action": {"name": "send_location"}}
        case "form":
            return {"type": "flow", **rest, "action": {"name": "flow", "parameters": _flow(choice.items[0], own)}}


def _flow(item: p.ChoiceItem, own: Mapping[str, str]) -> dict[str, Any]:
    screen = {"flow_action": "navigate", "flow_action_payload": {"screen": own.get("flow_screen")}}
    return {
        "flow_message_version": "3",
        "flow_id": item.id,
        "flow_cta": item.title,
        **present(flow_token=own.get("flow_token")),
        **(screen if "flow_screen" in own else {}),
    }


def _check(choice: p.Choice) -> None:
    most = CHOICES[choice.kind]
    if len(choice.items) > most or (most and not choice.items):
        raise Unsendable(f"{choice.kind} with {len(choice.items)} items", (f"{choice.kind} with 1 to {most}",))
    rows = choice.kind == "list"
    title_max, id_max = (ROW_TITLE_MAX, ROW_ID_MAX) if rows else (TITLE_MAX, ID_MAX)
    for item in choice.items:
        if not 1 <= len(item.title) <= title_max:
            raise Unsendable(f"an item title of {len(item.title)} characters", (f"1 to {title_max} characters",))
        if choice.kind == "cta_url":
            if not item.url:
                raise Unsendable("choice of kind cta_url with an item without `url`", tuple(CHOICES))
        elif not 1 <= len(item.id) <= id_max:
            raise Unsendable(f"an item id of {len(item.id)} characters", (f"1 to {id_max} characters",))
        if rows and len(item.description or "") > ROW_DESCRIPTION_MAX:
            raise Unsendable("an item description that is too long", (f"at most {ROW_DESCRIPTION_MAX} characters",))
    if choice.kind in {"buttons", "quick_replies", "list"}:
        _check_distinct("id", [item.id for item in choice.items])
    if choice.kind in {"buttons", "quick_replies"}:
        _check_distinct("title", [item.title for item in choice.items])


def _check_distinct(what: str, given: list[str]) -> None:
    if len(set(given)) < len(given):
        raise Unsendable(f"items with the same {what}", (f"items that differ in their {what}",))
