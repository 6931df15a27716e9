"""Choices as WeCom's template cards: buttons, and a list to choose one from.

https://developer.work.weixin.qq.com/document/path/90236
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normalizer import parts as p
from normalizer.errors import Unsendable

BUTTONS_MAX, OPTIONS_MAX = 6, 20
TITLE_MAX = 36
"""Characters of a title that are shown."""
QUESTION, SUBMIT = "choice", "submit"

Body = tuple[str, Any]


def card(part: p.Choice, task: str, own: Mapping[str, str]) -> Body:
    """Render a choice.

    Args:
        part: its ids come back in the event.
        task: id of the card, unique in the app.
        own: extras; ``submit_text`` is on the button of a list.

    Raises:
        Unsendable: a kind of choice, or a number of items, that no card has.
    """
    if part.kind in {"buttons", "quick_replies"} and 0 < len(part.items) <= BUTTONS_MAX:
        buttons = [{"text": item.title, "style": 1, "key": item.id} for item in part.items]
        return "template_card", {"card_type": "button_interaction", **_head(part, task), "button_list": buttons}
    if part.kind == "list" and 0 < len(part.items) <= OPTIONS_MAX:
        options = [{"id": item.id, "text": item.title, "is_checked": False} for item in part.items]
        return "template_card", {
            "card_type": "vote_interaction",
            **_head(part, task),
            "checkbox": {"question_key": QUESTION, "option_list": options, "mode": 0},
            "submit_button": {"text": own.get("submit_text", "提交"), "key": SUBMIT},
        }
    raise Unsendable(
        f"a choice of kind {part.kind} with {len(part.items)} items",
        (f"buttons or quick_replies (1 to {BUTTONS_MAX})", f"list (1 to {OPTIONS_MAX})", "cta_url"),
    )


def _head(part: p.Choice, task: str) -> dict[str, Any]:
    first, _, rest = part.body.partition("\n")
    if len(first) > TITLE_MAX:
        first, rest = first[: TITLE_MAX - 1] + "…", part.body
    words = {"sub_title_text": rest} if rest and part.kind != "list" else {}
    title = {"title": first, **({"desc": rest} if rest and part.kind == "list" else {})}
    return {"main_title": title, **words, "task_id": task}
