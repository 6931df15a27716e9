"""What LINE checks of message objects (https://developers.line.biz/en/reference/messaging-api/#message-objects)."""

from __future__ import annotations

from typing import Any

from gateway.simulate.cloud import Answer, json_answer

PER_CALL, QUICK_MAX, LABEL_MAX, DATA_MAX = 5, 13, 20, 300
REQUIRED: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "image": ("originalContentUrl", "previewImageUrl"),
    "video": ("originalContentUrl", "previewImageUrl"),
    "audio": ("originalContentUrl", "duration"),
    "sticker": ("packageId", "stickerId"),
    "location": ("title", "address", "latitude", "longitude"),
    "template": ("altText", "template"),
}
LIMITS = {
    "text": 5000,
    "altText": 400,
    "title": 100,
    "address": 100,
    "originalContentUrl": 2000,
    "previewImageUrl": 2000,
}
SCHEMES = ("https://", "http://", "tel:", "line:")
TEXTS = {"confirm": (240, 240), "buttons": (160, 60), "carousel": (120, 60)}
"""Template → characters of the text, and of one below a title or a picture."""
ACTIONS = {"confirm": (2, 2), "buttons": (1, 4), "carousel": (1, 3)}


class Wrong(Exception):
    """A property is wrong."""

    def __init__(self, where: str, why: str) -> None:
        """Say which and why."""
        super().__init__(why)
        self.where, self.why = where, why


def complaint(messages: Any) -> Answer | None:
    """Say what is wrong with the messages of a call as LINE does; None if nothing is."""
    try:
        _check(messages)
    except Wrong as exc:
        details = [{"message": exc.why, "property": exc.where}]
        return json_answer({"message": "The request body has 1 error(s)", "details": details}, 400)
    return None


def _check(messages: Any) -> None:
    if not isinstance(messages, list) or not 1 <= len(messages) <= PER_CALL:
        raise Wrong("messages", f"Size must be between 1 and {PER_CALL}")
    for number, one in enumerate(messages):
        _object(one, f"messages[{number}]")


def _object(one: dict[str, Any], where: str) -> None:
    kind = one.get("type", "")
    if kind not in REQUIRED:
        raise Wrong(f"{where}.type", "Must be one of the following values: " + str(sorted(REQUIRED)))
    for name in REQUIRED[kind]:
        if one.get(name) in (None, ""):
            raise Wrong(f"{where}.{name}", "May not be empty")
        if name.endswith("Url") and not str(one[name]).startswith("https://"):
            raise Wrong(f"{where}.{name}", "invalid uri scheme")
    for name, limit in LIMITS.items():
        if _length(one.get(name)) > limit:
            raise Wrong(f"{where}.{name}", f"Length must be between 0 and {limit}")
    if kind == "template":
        _template(one["template"], f"{where}.template")
    items = one.get("quickReply", {}).get("items", [])
    if len(items) > QUICK_MAX:
        raise Wrong(f"{where}.quickReply", f"Size must be between 0 and {QUICK_MAX}")
    for number, item in enumerate(items):
        _action(item["action"], f"{where}.quickReply.items[{number}].action")


def _length(value: Any) -> int:
    return len(value.encode("utf-16-le")) // 2 if isinstance(value, str) else 0


def _template(one: dict[str, Any], where: str) -> None:
    kind = one.get("type", "")
    if kind not in TEXTS:
        raise Wrong(f"{where}.type", "Must be one of the following values: " + str(sorted(TEXTS)))
    columns = one.get("columns") if kind == "carousel" else [one]
    if not isinstance(columns, list) or not 1 <= len(columns) <= 10:
        raise Wrong(f"{where}.columns", "Size must be between 1 and 10")
    for number, column in enumerate(columns):
        _column(kind, column, f"{where}.columns[{number}]" if kind == "carousel" else where)
    if len({len(column["actions"]) for column in columns}) > 1:
        raise Wrong(f"{where}.columns", "The number of actions must be the same in all columns")


def _column(kind: str, column: dict[str, Any], where: str) -> None:
    limit = TEXTS[kind]["title" in column or "thumbnailImageUrl" in column]
    if not 1 <= _length(column.get("text")) <= limit:
        raise Wrong(f"{where}.text", f"Length must be between 1 and {limit}")
    if _length(column.get("title")) > 40:
        raise Wrong(f"{where}.title", "Length must be between 0 and 40")
    least, most = ACTIONS[kind]
    if not least <= len(column.get("actions", [])) <= most:
        raise Wrong(f"{where}.actions", f"Size must be between {least} and {most}")
    for number, action in enumerate(column["actions"]):
        _action(action, f"{where}.actions[{number}]")


def _action(action: dict[str, Any], where: str) -> None:
    if not 1 <= _length(action.get("label")) <= LABEL_MAX:
        raise Wrong(f"{where}.label", f"Length must be between 1 and {LABEL_MAX}")
    if action.get("type") == "postback" and not 1 <= _length(action.get("data")) <= DATA_MAX:
        raise Wrong(f"{where}.data", f"Length must be between 1 and {DATA_MAX}")
    if action.get("type") == "uri" and not str(action.get("uri", "")).startswith(
        ("https://", "http://", "tel:", "line:")
    ):
        raise Wrong(f"{where}.uri", "invalid uri scheme")
