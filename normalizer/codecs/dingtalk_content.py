"""What a message to a robot is made of (https://open.dingtalk.com/document/orgapp/robot-message-type)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from normalizer import ids
from normalizer import parts as p
from normalizer.codecs.dingtalk_types import Callback, Content, Piece
from normalizer.errors import MalformedPayload
from normalizer.parts import AnyPart
from normalizer.raw import RawEvent

CHOICE, CHOICE_TITLE = "choice", "choice_title"
"""`RawEvent.meta`: the text is the title of an item we offered; its id, and the title."""
LONGEST_MS = 86_400_000


def parts_of(raw: RawEvent, told: Callback) -> list[AnyPart]:
    """List the content; a type nobody knows becomes `unsupported`. Raises `MalformedPayload` that names the field."""
    if told.msgtype == "text":
        return [_words(raw, told)]
    read = _READ.get(told.msgtype)
    if read is None:
        return [p.Unsupported(provider_type=told.msgtype)]
    return list(read(raw, told, content_of(told)))


def content_of(told: Callback) -> Content:
    """Read `content`; raises `MalformedPayload`."""
    try:
        return msgspec.convert(told.content, Content)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise MalformedPayload(f"content: {exc}") from exc


def _words(raw: RawEvent, told: Callback) -> AnyPart:
    if told.text is None:
        raise MalformedPayload("text is missing")
    if CHOICE in raw.meta:
        return p.ChoiceReply(item_id=raw.meta[CHOICE], title=raw.meta.get(CHOICE_TITLE))
    # of a mention DingTalk leaves the blank behind it
    return p.Text(body=told.text.content.strip() if told.is_in_at_list else told.text.content)


def _media(raw: RawEvent, told: Callback, code: str | None, number: int = 0) -> p.Media:
    """Name a file by its download code, which is another one in each delivery: so the message names the media."""
    if not code:
        raise MalformedPayload("content.downloadCode is missing")
    native = told.msg_id if number == 0 else f"{told.msg_id}#{number}"
    return p.Media(id=ids.media_id(raw.channel.id, native), status="pending", provider_id=code)


def _picture(raw: RawEvent, told: Callback, content: Content) -> Iterator[AnyPart]:
    yield p.Image(media=_media(raw, told, content.download_code or content.picture_download_code))


def _audio(raw: RawEvent, told: Callback, content: Content) -> Iterator[AnyPart]:
    media = _media(raw, told, content.download_code)
    yield p.Audio(
        media=msgspec.structs.replace(
            media, voice=True, duration_ms=_milliseconds(content), transcript=content.recognition or None
        )
    )


def _milliseconds(content: Content) -> int | None:
    try:
        value = float(content.duration or 0)
    except ValueError:
        return None
    return round(value) if 0 < value < LONGEST_MS else None


def _video(raw: RawEvent, told: Callback, content: Content) -> Iterator[AnyPart]:
    kind = (content.video_type or "").lower()
    media = _media(raw, told, content.download_code)
    yield p.Video(media=msgspec.structs.replace(media, mime="video/mp4" if kind == "mp4" else None))


def _file(raw: RawEvent, told: Callback, content: Content) -> Iterator[AnyPart]:
    media = _media(raw, told, content.download_code)
    yield p.File(media=msgspec.structs.replace(media, name=content.file_name or None))


def _rich(raw: RawEvent, told: Callback, content: Content) -> Iterator[AnyPart]:
    """Texts that follow each other are one."""
    if content.rich_text is None:
        raise MalformedPayload("content.richText is missing")
    words = ""
    for number, piece in enumerate(content.rich_text):
        code = piece.download_code or piece.picture_download_code
        if code is None:
            words += _said(piece)
            continue
        if words:
            yield p.Text(body=words)
        words = ""
        yield p.Image(media=_media(raw, told, code, number + 1))
    if words or not content.rich_text:
        yield p.Text(body=words)


def _said(piece: Piece) -> str:
    if piece.text is None:
        return f"[{piece.type or 'unknown'}]"
    return piece.text


_READ: dict[str, Callable[[RawEvent, Callback, Content], Iterator[AnyPart]]] = {
    "picture": _picture,
    "richText": _rich,
    "audio": _audio,
    "video": _video,
    "file": _file,
}
