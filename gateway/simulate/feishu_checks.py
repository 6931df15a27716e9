"""What Feishu demands of the content of a message.

https://open.feishu.cn/document/server-docs/im-v1/message-content-description/create_json
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from normalizer.codecs.feishu_emoji import EMOJI

ID_TYPES = {
    "chat_id": r"oc_[\w-]+", "open_id": r"ou_[\w-]+", "union_id": r"on_[\w-]+", "user_id": r"\w+", "email": r"\S+@\S+",
}  # fmt: skip
NAMES = frozenset({*EMOJI, "JIAYI", "LGTM", "OKR", "Yes", "No", "Get"})
TEXT_MAX, RICH_MAX = 150 * 1024, 30 * 1024
POST_TAGS = frozenset({"text", "a", "at", "img", "media", "emotion", "hr", "code_block", "md"})
CARD_TAGS = frozenset({"div", "action", "img", "hr", "markdown", "note", "column_set"})
KEYS = {
    "image": ("image_key", frozenset({"image"})),
    "audio": ("file_key", frozenset({"opus"})),
    "media": ("file_key", frozenset({"mp4"})),
    "file": ("file_key", frozenset({"stream", "pdf", "doc", "xls", "ppt", "mp4", "opus"})),
    "sticker": ("file_key", frozenset({"sticker"})),
}
"""Type of message → name of its key, and as what the file must have been uploaded."""

Files = Mapping[str, tuple[bytes, str]]


class Fault(Exception):
    """A call that Feishu refuses."""

    def __init__(self, code: int, text: str) -> None:
        """Answer with this code."""
        super().__init__(text)
        self.code = code


def check(body: dict[str, Any], files: Files) -> None:
    """Look at a message; raises `Fault`."""
    kind, written = body.get("msg_type"), body.get("content")
    if not isinstance(written, str):
        raise _invalid("content is not a string in json format")
    try:
        content = msgspec.json.decode(written, type=dict[str, Any])
    except msgspec.DecodeError:
        raise _invalid("content is not a string in json format") from None
    if len(written.encode()) > (TEXT_MAX if kind == "text" else RICH_MAX):
        raise Fault(230025, "The length of the message content reaches its limit.")
    match kind:
        case "text":
            if not content.get("text"):
                raise _invalid("text is empty")
        case "post":
            _post(content, files)
        case "interactive":
            _card(content, files)
        case "share_user" | "share_chat":
            if not str(content.get("user_id" if kind == "share_user" else "chat_id", "")).startswith(("ou_", "oc_")):
                raise _invalid("invalid id")
        case _:
            _file(str(kind), content, files)


def _invalid(why: str) -> Fault:
    return Fault(230001, f"Your request contains an invalid request parameter, ext={why}.")


def _file(kind: str, content: dict[str, Any], files: Files) -> None:
    if kind not in KEYS:
        raise _invalid("invalid msg_type")
    name, uploaded = KEYS[kind]
    _known(str(content.get(name, "")), uploaded, files)


def _known(key: str, uploaded: frozenset[str], files: Files) -> None:
    if "simulated" in key:
        return
    if key not in files:
        raise _invalid("invalid key of a file")
    if files[key][1] not in uploaded:
        raise Fault(230055, "The type of file upload does not match the type of message being sent.")


def _post(content: dict[str, Any], files: Files) -> None:
    found = [one for one in content.values() if isinstance(one, dict)]
    paragraphs = [paragraph for one in found for paragraph in one.get("content", [])]
    if not paragraphs:
        raise _invalid("post without content")
    for piece in (piece for paragraph in paragraphs for piece in paragraph):
        if piece.get("tag") not in POST_TAGS:
            raise _invalid("unknown tag")
        if piece["tag"] == "img":
            _known(str(piece.get("image_key", "")), frozenset({"image"}), files)


def _card(content: dict[str, Any], files: Files) -> None:
    elements = content.get("elements")
    if not isinstance(elements, list) or not (elements or content.get("header")):
        raise Fault(230099, "Failed to create card content, ext=no elements.")
    for one in elements:
        if one.get("tag") not in CARD_TAGS:
            raise Fault(230099, "Failed to create card content, ext=unknown element.")
        if one["tag"] == "img":
            _known(str(one.get("img_key", "")), frozenset({"image"}), files)
        for action in one.get("actions", []):
            if action.get("tag") == "button" and not (action.get("value") or action.get("url")):
                raise Fault(230099, "Failed to create card content, ext=a button does nothing.")
            if action.get("tag") == "select_static" and not action.get("options"):
                raise Fault(230099, "Failed to create card content, ext=no options.")
