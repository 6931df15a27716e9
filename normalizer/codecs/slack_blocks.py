"""Choices and cards as blocks (https://docs.slack.dev/reference/block-kit/blocks)."""

from __future__ import annotations

from typing import Any

from normalizer import parts as p
from normalizer.codecs.slack_text import escape
from normalizer.errors import Unsendable

SECTION_MAX = 3000
"""Characters of the text of a section."""
ALT_MAX = 2000
TITLE_MAX, VALUE_MAX, OPTION_VALUE_MAX, URL_MAX = 75, 2000, 150, 3000
"""Of a button or an option (https://docs.slack.dev/reference/block-kit/composition-objects/option-object)."""
BLOCKS_MAX = 50
CHOICES = {"buttons": 25, "quick_replies": 25, "cta_url": 25, "list": 100}
"""Most items: elements of an actions block, options of a select menu."""

Block = dict[str, Any]


def choice(part: p.Choice) -> list[Block]:
    """Render a choice; raises `Unsendable`."""
    if part.kind not in CHOICES:
        raise Unsendable(f"choice of kind {part.kind}", tuple(CHOICES))
    if not part.body.strip() or len(part.body) > SECTION_MAX:
        raise Unsendable("a choice without a question", (f"a question of 1 to {SECTION_MAX} characters",))
    if not 1 <= len(part.items) <= CHOICES[part.kind]:
        raise Unsendable(f"{part.kind} with {len(part.items)} items", (f"1 to {CHOICES[part.kind]} items",))
    if part.kind == "list":
        menu = {
            "type": "static_select",
            "action_id": "list",
            "placeholder": {"type": "plain_text", "text": "…"},
            "options": [_option(item) for item in part.items],
        }
        return [plain(part.body), {"type": "actions", "elements": [menu]}]
    return [plain(part.body), _buttons(part.items, links=part.kind == "cta_url")]


def cards(items: tuple[p.CardItem, ...]) -> list[Block]:
    """Render cards one below the other; raises `Unsendable`."""
    blocks: list[Block] = []
    for item in items:
        words = "\n".join(filter(None, (f"*{escape(item.title)}*" if item.title else "", escape(item.body or ""))))
        if words:
            blocks.append(section(words))
        if item.media is not None:
            blocks.append(image(item.media, item.title))
        if item.items:
            blocks.append(_buttons(item.items, links=False))
    if not 1 <= len(blocks) <= BLOCKS_MAX:
        raise Unsendable(f"cards of {len(blocks)} blocks", (f"1 to {BLOCKS_MAX} blocks",))
    return blocks


def plain(words: str) -> Block:
    """Render text as it is; raises `Unsendable`."""
    return {"type": "section", "text": {"type": "plain_text", "text": _beside(words), "emoji": False}}


def _beside(words: str) -> str:
    if len(words) > SECTION_MAX:
        raise Unsendable(f"a text of {len(words)} characters beside buttons", (f"at most {SECTION_MAX}",))
    return words


def section(mrkdwn: str) -> Block:
    """Render text in Slack's mark-up; raises `Unsendable`."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": _beside(mrkdwn), "verbatim": True}}


def image(media: p.Media, alt: str) -> Block:
    """Show a picture: one of Slack's own by id or URL, or a public one; raises `Unsendable`."""
    words = (media.caption or alt or media.name or "image")[:ALT_MAX]
    if media.url:
        return {"type": "image", "image_url": media.url, "alt_text": words}
    if not media.provider_id:
        raise Unsendable("image without `provider_id` or `url`", ("image with `provider_id` or `url`",))
    name = "url" if "://" in media.provider_id else "id"
    return {"type": "image", "slack_file": {name: media.provider_id}, "alt_text": words}


def _buttons(items: tuple[p.ChoiceItem, ...], *, links: bool) -> Block:
    if len(items) > CHOICES["buttons"]:
        raise Unsendable(f"{len(items)} buttons", (f"at most {CHOICES['buttons']} buttons",))
    return {"type": "actions", "elements": [_button(item, index, links=links) for index, item in enumerate(items)]}


def _button(item: p.ChoiceItem, index: int, *, links: bool) -> Block:
    button = {"type": "button", "action_id": f"button-{index}", "text": _plain(item.title)}
    if item.id:
        button["value"] = _fits(item.id, "item id", VALUE_MAX)
    if item.url:
        return {**button, "url": _fits(item.url, "item url", URL_MAX)}
    if links:
        raise Unsendable("choice of kind cta_url with an item without `url`", tuple(CHOICES))
    if not item.id:
        raise Unsendable("choice item without `id`", ("items with `id`",))
    return button


def _option(item: p.ChoiceItem) -> Block:
    option = {"text": _plain(item.title), "value": _fits(item.id, "item id", OPTION_VALUE_MAX)}
    return {**option, "description": _plain(item.description)} if item.description else option


def _plain(words: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": _fits(words, "title", TITLE_MAX), "emoji": True}


def _fits(words: str, what: str, most: int) -> str:
    if not 1 <= len(words) <= most:
        raise Unsendable(f"choice {what} of {len(words)} characters", (f"1 to {most} characters",))
    return words
