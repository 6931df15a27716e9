"""What stands in the feed of a conversation, and how a client gets it.

Uids: ``c:<id>`` a visitor's message, ``g:<id>`` one of the company's, ``e:<id>:<revision>`` an edit, ``x:<id>`` a
deletion, ``r:<status>:<id>`` a receipt, ``z:<number>`` an end. So whatever is repeated is recognised, on any node.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from connectors.api import LinkMaker
from connectors.feeds import FeedEntry
from connectors.stores import PREFIX
from normalizer.codecs.chat_types import Shown

OWN = -1
MESSAGE, RECEIPT, ENDED = "message", "receipt", "ended"

_PUBLIC = ("id", "mime", "name", "size", "width", "height", "duration_ms", "caption", "voice")
"""What a client is told of a media item, besides its `url`."""


class Stored(Struct, frozen=True, array_like=True):
    """An entry's body.

    Attributes:
        method: of the notification.
        params: of the notification, without `seq` and `pos`.
        before: for a message: the first number of its place; `OWN` means the entry's `seq`.
        place: for a later revision: the second number, the `seq` of the first; `OWN` as before.
        media: the params name files, which need a fresh link each time they are shown.
    """

    method: str
    params: Raw
    before: int = OWN
    place: int = OWN
    media: bool = False


class _Message(Struct, frozen=True):
    message: Shown


_stored = msgspec.json.Decoder(Stored)
_message = msgspec.json.Decoder(_Message)
_any = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def message_body(message: Shown, *, before: int = OWN, place: int = OWN) -> bytes:
    """Write the entry of a message."""
    media = any(hasattr(part, "media") or hasattr(part, "items") for part in message.parts)
    return _encode(Stored(MESSAGE, Raw(_encode(_Message(message))), before, place, media))


def body(method: str, **params: Any) -> bytes:
    """Write any other entry."""
    known = {name: value for name, value in params.items() if value is not None}
    return _encode(Stored(method, Raw(_encode(known))))


def stored(entry: FeedEntry) -> Stored:
    """Read an entry."""
    return _stored.decode(entry.body)


def message_of(entry: FeedEntry) -> Shown:
    """Read the message of an entry that is one."""
    return _message.decode(stored(entry).params).message


def pos(entry: FeedEntry) -> tuple[int, int]:
    """Return the place of a message."""
    one = stored(entry)
    return (entry.seq if one.before == OWN else one.before), (entry.seq if one.place == OWN else one.place)


class Renderer:
    """Turns entries into notifications."""

    def __init__(self, link: LinkMaker) -> None:
        """Let `link` make the URLs of files."""
        self._link = link

    def params(self, entry: FeedEntry) -> tuple[str, bytes]:
        """Return method and params of the notification of an entry."""
        one = stored(entry)
        known = self._linked(bytes(one.params)) if one.media else bytes(one.params)
        place = b',"pos":[%d,%d]' % pos(entry) if one.method == MESSAGE else b""
        rest = b"," + known[1:] if known != b"{}" else b"}"
        return one.method, b'{"seq":%d%s%s' % (entry.seq, place, rest)

    def notification(self, entry: FeedEntry) -> bytes:
        """Return the whole notification."""
        method, params = self.params(entry)
        return notification(method, params)

    def _linked(self, params: bytes) -> bytes:
        told = _any.decode(params)
        for holder in _media(told.get("message", {}).get("parts", ())):
            holder["media"] = self._public(holder["media"])
        return _encode(told)

    def _public(self, media: dict[str, Any]) -> dict[str, Any]:
        shown = {name: media[name] for name in _PUBLIC if name in media}
        if media.get("status") == "stored" and "sha256" in media:
            url, _ = self._link(PREFIX + media["sha256"], mime=media.get("mime"), name=media.get("name"))
            return {**shown, "url": url}
        return {**shown, "url": media["url"]} if "url" in media else shown


def _media(parts: Any) -> Iterator[dict[str, Any]]:
    for part in parts:
        for holder in (part, *part.get("items", ())):
            if isinstance(holder.get("media"), dict):
                yield holder


def notification(method: str, params: bytes) -> bytes:
    """Write a notification with these params."""
    return b'{"jsonrpc":"2.0","method":"%s","params":%s}' % (method.encode(), params)


def fleeting(method: str, **params: Any) -> bytes:
    """Write a notification that is no entry."""
    return notification(method, _encode({name: value for name, value in params.items() if value is not None}))
