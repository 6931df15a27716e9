"""From what the expressions found to parts of a message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from normalizer import ids
from normalizer import parts as p
from normalizer.codecs.declarative_expr import Unreadable
from normalizer.codecs.declarative_values import degrees, kind_of, text, whole, word
from normalizer.raw import RawEvent

MEDIA_MAX = 100
_WORDS: dict[str, Callable[..., p.MediaPart]] = {
    "image": p.Image,
    "audio": p.Audio,
    "voice": p.Audio,
    "video": p.Video,
    "sticker": p.Sticker,
}
_COUNTS = ("size", "width", "height", "duration_ms")


def media(raw: RawEvent, found: Any, path: str) -> Iterator[p.AnyPart]:
    """Describe attachments as references; their bytes are not fetched, whatever their URLs say.

    An attachment with neither URL nor id becomes `unsupported`: something was there, and that is not hidden.
    """
    entries = found if isinstance(found, list) else [] if _absent(found) else [found]
    if len(entries) > MEDIA_MAX:
        raise Unreadable(f"{path}: more than {MEDIA_MAX} attachments")
    for index, entry in enumerate(entries):
        yield _attachment(raw, {"url": entry} if isinstance(entry, str) else entry, f"{path}[{index}]")


def _attachment(raw: RawEvent, entry: Any, path: str) -> p.AnyPart:
    if not isinstance(entry, dict):
        raise Unreadable(f"{path}: expected an object or a URL, found {kind_of(entry)}")
    read = {name: word(entry.get(name), f"{path}.{name}") for name in ("url", "id", "type", "name")}
    native = read["id"] or read["url"]
    major, mime = _media_type(read["type"])
    if native is None:
        return p.Unsupported(provider_type=mime or major or "attachment")
    counts: dict[str, Any] = {name: whole(entry.get(name), f"{path}.{name}") for name in _COUNTS}
    item = p.Media(
        id=ids.media_id(raw.channel.id, native),
        provider_id=read["url"] or native,
        mime=mime,
        name=read["name"],
        caption=text(entry.get("caption"), f"{path}.caption"),
        voice=entry.get("voice") is True or major == "voice",
        status="pending",
        **counts,
    )
    return _WORDS.get(major, p.File)(media=item)


def _media_type(given: str | None) -> tuple[str, str | None]:
    """Split a MIME type (RFC 2045) or a bare word into what it is and the MIME type, if it is one."""
    mime = (given or "").partition(";")[0].strip().lower()
    return mime.partition("/")[0], mime if "/" in mime else None


def location(found: Any, path: str) -> p.Location | None:
    """Read a place."""
    if _absent(found):
        return None
    if not isinstance(found, dict):
        raise Unreadable(f"{path}: expected an object, found {kind_of(found)}")
    return p.Location(
        lat=degrees(found.get("lat"), f"{path}.lat"),
        lon=degrees(found.get("lon"), f"{path}.lon"),
        name=text(found.get("name"), f"{path}.name"),
        address=text(found.get("address"), f"{path}.address"),
    )


def _absent(found: Any) -> bool:
    """Tell whether nothing was found; an object whose values are all null is how JMESPath says so."""
    return found is None or found == "" or (isinstance(found, dict) and all(value is None for value in found.values()))
