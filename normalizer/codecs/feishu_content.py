"""What a Feishu message is made of.

https://open.feishu.cn/document/uAjLw4CM/ukTMukTMukTM/im-v1/message/events/message_content
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs.feishu_post import post
from normalizer.codecs.feishu_types import Mention
from normalizer.errors import MalformedPayload
from normalizer.parts import AnyPart

Content = dict[str, Any]
IMAGE, FILE = "image", "file"
"""Types of the resources of a message, as the API for downloading calls them."""

TOLD = frozenset({"system", "share_chat"})
"""Handed on as a `system` part."""
WORDS = frozenset({"hongbao", "share_calendar_event", "calendar", "general_calendar", "video_chat", "todo", "vote"})
"""Said in words, with the original in `metadata.feishu.content`."""

CARD_DEPTH = 12
_TEXTS = frozenset({"plain_text", "lark_md", "markdown", "text", "a", "at"})


class Reader:
    """Reads the content of one message.

    Attributes:
        kept: what the parts do not carry, for `metadata.feishu.content`.
    """

    def __init__(self, channel: str, message: str, mentions: tuple[Mention, ...]) -> None:
        """Read for `message` of `channel`, in which `mentions` stand for names."""
        self._channel, self._message = channel, message
        self._names = {one.key: f"@{one.name}" for one in mentions if one.key and one.name}
        self.kept: Content | None = None

    def parts(self, kind: str, content: Content) -> list[AnyPart]:
        """List the content; a type nobody knows becomes `unsupported`.

        Raises:
            MalformedPayload: something is missing or of the wrong type; names the field.
        """
        if kind in TOLD:
            return [p.System(event=kind, args=build.bounded(content))]
        if kind in WORDS:
            return self.words(content) or [p.Unsupported(provider_type=kind)]
        read = _READ.get(kind)
        found = [] if read is None else read(self, content)
        return found or [p.Unsupported(provider_type=kind, hint=_maybe(content, "file_name"))]

    def text(self, content: Content) -> list[AnyPart]:
        """Read a text."""
        return [p.Text(body=self.named(_word(content, "text")))]

    def post(self, content: Content) -> list[AnyPart]:
        """Read rich text."""
        return [*post(content, self._names, self.image_of, self.video_of)]

    def image(self, content: Content) -> list[AnyPart]:
        """Read a picture."""
        return [self.image_of(_word(content, "image_key"))]

    def image_of(self, key: str) -> p.Image:
        """Describe a picture."""
        return p.Image(media=self.media(IMAGE, key))

    def video_of(self, key: str) -> p.Video:
        """Describe a video."""
        return p.Video(media=self.media(FILE, key))

    def file(self, content: Content) -> list[AnyPart]:
        """Read a file."""
        return [p.File(media=self.media(FILE, _word(content, "file_key"), content))]

    def audio(self, content: Content) -> list[AnyPart]:
        """Read a voice message."""
        return [p.Audio(media=self.media(FILE, _word(content, "file_key"), content, voice=True))]

    def video(self, content: Content) -> list[AnyPart]:
        """Read a video."""
        return [p.Video(media=self.media(FILE, _word(content, "file_key"), content))]

    def sticker(self, content: Content) -> list[AnyPart]:
        """Read a sticker, which can be sent again by its key, and not be downloaded."""
        key = _word(content, "file_key")
        media = p.Media(id=ids.media_id(self._channel, key), status="failed", provider_id=key)
        return [p.Sticker(media=media)]

    def location(self, content: Content) -> list[AnyPart]:
        """Read a place; the degrees are text."""
        lat, lon = _degrees(content, "latitude", 90), _degrees(content, "longitude", 180)
        return [p.Location(lat=lat, lon=lon, name=_maybe(content, "name"))]

    def share_user(self, content: Content) -> list[AnyPart]:
        """Read somebody's card, which has nothing but the id."""
        return [p.Contact(name=_word(content, "user_id"))]

    def words(self, content: Content) -> list[AnyPart]:
        """Say in words what has no part of its own, and keep the original."""
        self.kept = build.bounded(content)
        title = content.get("summary", content.get("topic", content.get("text")))
        if isinstance(title, dict):  # of a task: rich text
            lines = [part.body for part in self.post(title) if isinstance(part, p.Text)]
        else:
            lines = [title] if isinstance(title, str) and title else []
        options = content.get("options")
        lines += [f"- {one}" for one in options if isinstance(one, str)] if isinstance(options, list) else []
        return [p.Text(body="\n".join(lines))] if lines else []

    def card(self, content: Content) -> list[AnyPart]:
        """Say what a card says; its original is kept."""
        self.kept = build.bounded(content)
        title = content.get("title")
        lines = [title] if isinstance(title, str) and title else []
        lines += _said(content.get("header"), CARD_DEPTH)
        lines += _said(content.get("elements"), CARD_DEPTH)
        lines += _said(content.get("body"), CARD_DEPTH)
        return [p.Text(body=self.named("\n".join(lines)))] if lines else []

    def media(self, kind: str, key: str, content: Mapping[str, Any] | None = None, *, voice: bool = False) -> p.Media:
        """Name a file of a message by message, type and key, which are all needed to download it."""
        told = content or {}
        duration = told.get("duration")
        return p.Media(
            id=ids.media_id(self._channel, f"{self._message}/{key}"),
            name=_maybe(told, "file_name"),
            duration_ms=duration if isinstance(duration, int) and 0 <= duration < 2**53 else None,
            voice=voice,
            status="pending",
            provider_id=f"{self._message}/{kind}/{key}",
        )

    def named(self, text: str) -> str:
        """Write names where keys stand for them."""
        for key in sorted(self._names, key=len, reverse=True):  # @_user_10 before @_user_1
            text = text.replace(key, self._names[key])
        return text


def _word(content: Mapping[str, Any], name: str) -> str:
    found = content.get(name)
    if not isinstance(found, str) or not found:
        raise MalformedPayload(f"event.message.content.{name} is missing, or no text")
    return found


def _maybe(content: Mapping[str, Any], name: str) -> str | None:
    found = content.get(name)
    return found if isinstance(found, str) and found else None


def _degrees(content: Content, name: str, most: float) -> float:
    try:
        found = float(content[name])
    except (KeyError, TypeError, ValueError):
        raise MalformedPayload(f"event.message.content.{name} is missing, or no number") from None
    if not abs(found) <= most:
        raise MalformedPayload(f"event.message.content.{name} is off the globe")
    return found


def _said(node: Any, depth: int) -> Iterator[str]:
    """Collect the words of a card, line by line; elements of one row are one line."""
    if not depth:
        return
    if isinstance(node, list):
        if all(isinstance(one, dict) and one.get("tag") in _TEXTS for one in node):
            line = "".join(word for one in node for word in _said(one, depth - 1))
            yield from [line] if line else []
            return
        for one in node:
            yield from _said(one, depth - 1)
    elif isinstance(node, dict):
        words = node.get("text") if isinstance(node.get("text"), str) else node.get("content")
        if isinstance(words, str):
            yield from [words] if words else []
            return
        for value in node.values():
            if isinstance(value, dict | list):
                yield from _said(value, depth - 1)


_READ: dict[str, Callable[[Reader, Content], list[AnyPart]]] = {
    "text": Reader.text,
    "post": Reader.post,
    "image": Reader.image,
    "file": Reader.file,
    "audio": Reader.audio,
    "media": Reader.video,
    "video": Reader.video,
    "sticker": Reader.sticker,
    "location": Reader.location,
    "share_user": Reader.share_user,
    "interactive": Reader.card,
}
"""Not here: `folder`, which nobody can download, and `merge_forward`, whose messages do not come with it."""
