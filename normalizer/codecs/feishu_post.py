"""Rich text (`post`): paragraphs of tagged pieces.

https://open.feishu.cn/document/uAjLw4CM/ukTMukTMukTM/im-v1/message/events/message_content#45e0953e
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from normalizer import parts as p
from normalizer.parts import AnyPart

Media = Callable[[str], AnyPart]


def post(content: Mapping[str, Any], names: Mapping[str, str], image: Media, video: Media) -> Iterator[AnyPart]:
    """Read rich text as plain text, with pictures and videos where they stand.

    Args:
        content: of the message, in one language or in several, of which the first is read.
        names: what stands for whose name.
        image: describes a picture by its key.
        video: describes a video by its key.
    """
    told = content if "content" in content else next((one for one in content.values() if isinstance(one, dict)), {})
    title = told.get("title")
    lines = [title] if isinstance(title, str) and title else []
    for paragraph in _list(told.get("content")):
        line, media = "", []
        for piece in _list(paragraph):
            if not isinstance(piece, dict):
                continue
            key = piece.get("image_key") if piece.get("tag") == "img" else piece.get("file_key")
            if piece.get("tag") in {"img", "media"} and isinstance(key, str) and key:
                media.append((image if piece["tag"] == "img" else video)(key))
            else:
                line += _words(piece, names)
        if line or not media:
            lines.append(line)
        if media:
            yield from _text(lines)
            yield from media
            lines = []
    yield from _text(lines)


def _text(lines: list[str]) -> Iterator[AnyPart]:
    body = "\n".join(lines).strip("\n")
    if body.strip():
        yield p.Text(body=body)


def _words(piece: Mapping[str, Any], names: Mapping[str, str]) -> str:
    def word(name: str) -> str:
        found = piece.get(name)
        return found if isinstance(found, str) else ""

    match piece.get("tag"):
        case "a":
            text, href = word("text"), word("href")
            return text if href in {"", text} else f"{text} ({href})"
        case "at":
            user = word("user_id")
            return names.get(user) or "@" + (word("user_name") or user.removeprefix("@"))
        case "emotion":
            return f":{word('emoji_type')}:"
        case "hr":
            return "---"
        case _:  # text, md, code_block, and what is to come
            return word("text")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
