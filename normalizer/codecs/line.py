"""LINE Messaging API wire format (https://developers.line.biz/en/reference/messaging-api/).

What is peculiar: a delivery has events of several chats; a reply token answers once, and for a minute, without cost;
what is sent counts in calls of up to five message objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from normalizer import build, ids
from normalizer.codecs import line_send as outgoing
from normalizer.codecs.line_events import event_of
from normalizer.codecs.line_frame import VERSION, Frame, place_of
from normalizer.codecs.line_types import Callback, Event, Source
from normalizer.errors import MalformedPayload
from normalizer.methods import Params
from normalizer.raw import BadItem, Decoded, Ignored, Outbound, RawEvent, Wire


class Notice(Struct, frozen=True, kw_only=True):
    """What an event says about how it can be answered.

    Attributes:
        conversation: our id of the chat.
        message: our id of the message or event.
        native: LINE's.
        source: who and where, for profiles.
    """

    conversation: str
    message: str
    native: str
    source: Source
    reply_token: str = ""
    quote_token: str = ""
    read_token: str = ""


class LineCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
    """

    version: Final[str] = VERSION

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read a delivery; an empty one is LINE's check of the URL."""
        if raw.item:
            return (_read(raw, raw.body, ""),)
        callback = build.parse(raw.body, Callback)
        found = tuple(_read(raw, bytes(item), callback.destination) for item in callback.events)
        return found or (Ignored(reason="verify"),)

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as push messages; raises `Unsendable`."""
        return outgoing.send(message)

    def request(self, method: str, params: Params, read_token: str = "") -> Wire:
        """Render any other request; `read_token` is that of the message; raises `Unsendable`."""
        return outgoing.request(method, params, read_token)

    def notices(self, raw: RawEvent) -> list[Notice]:
        """Say what a delivery gives to answer with; what nobody can read gives nothing."""
        try:
            items = build.parse(raw.body, Callback).events
        except MalformedPayload:
            return []
        return [notice for item in items if (notice := _notice(raw, bytes(item))) is not None]


def _read(raw: RawEvent, item: bytes, destination: str) -> Decoded:
    def fields() -> Mapping[str, Any]:
        return build.parse(item, dict[str, Any])

    try:
        return event_of(Frame(raw, build.parse(item, Event), destination), fields)
    except MalformedPayload as exc:
        return BadItem(body=item, reason=str(exc))


def _notice(raw: RawEvent, item: bytes) -> Notice | None:
    try:
        told = build.parse(item, Event)
    except MalformedPayload:
        return None
    place, message = place_of(told.source), told.message
    if not place or told.source is None:
        return None
    native = told.webhook_event_id if message is None else message.id
    return Notice(
        conversation=ids.conversation_id(raw.channel.id, place),
        message=ids.message_id(raw.channel.id, "", native),
        native=native,
        source=told.source,
        reply_token=told.reply_token or "",
        quote_token=(message.quote_token if message else None) or "",
        read_token=(message.mark_as_read_token if message else None) or "",
    )
