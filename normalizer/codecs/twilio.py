"""Twilio Messaging wire format: SMS, MMS, WhatsApp and what else Twilio connects.

https://www.twilio.com/docs/messaging/guides/webhook-request,
https://www.twilio.com/docs/messaging/guides/track-outbound-message-status

What is peculiar: deliveries are forms; a message is named by its `MessageSid`, and so are its statuses; the address
says the channel (``whatsapp:+49…``). Event Streams tell the same in JSON, several at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from normalizer.codecs import twilio_send as outgoing
from normalizer.codecs.twilio_events import VERSION, answerable, events_of
from normalizer.errors import MalformedPayload
from normalizer.raw import BadItem, Decoded, Ignored, Outbound, RawEvent, Wire

FIELDS_MAX = 300
STREAM = "com.twilio.messaging."
_anything = msgspec.json.Decoder()


class TwilioCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
    """

    version: Final[str] = VERSION

    def __init__(self, sending: outgoing.Sending, *, passive_secs: float = 0.0) -> None:
        """Send as `sending` says; tell the core that a reply within `passive_secs` can go in the HTTP answer."""
        self._sending, self._passive_secs = sending, passive_secs

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read one delivery, which may be several events."""
        if raw.item or raw.body.lstrip()[:1] in {b"[", b"{"}:  # forms come one by one
            return tuple(_stream(raw, self._passive_secs))
        return tuple(events_of(raw, read_form(raw.body), self._passive_secs))

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of the API; raises `Unsendable`."""
        return outgoing.send(message, self._sending)

    def answerable(self, raw: RawEvent) -> tuple[str, str] | None:
        """Say who wrote, and the id of the message; None if a delivery is nothing to answer. Raises nothing."""
        try:
            return answerable(read_form(raw.body))
        except MalformedPayload:
            return None

    def passive(self, message: Outbound, info: dict[str, str]) -> bytes | None:
        """Render a message as TwiML; see `PassiveCodec`."""
        return outgoing.twiml(message, info, self._sending)


def read_form(body: bytes) -> dict[str, str]:
    """Read a form; of a repeated name the first; raises `MalformedPayload`."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError as exc:  # UnicodeDecodeError is one
        raise MalformedPayload("not a form in UTF-8") from exc
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _stream(raw: RawEvent, passive_secs: float) -> Iterator[Decoded]:
    """Read events of Event Streams (https://www.twilio.com/docs/events/event-types)."""
    try:
        told = _anything.decode(raw.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise MalformedPayload(str(exc) or "not JSON") from exc
    for one in told if isinstance(told, list) and not raw.item else [told]:
        try:
            yield from _streamed(raw, one, passive_secs)
        except MalformedPayload as exc:
            yield BadItem(body=msgspec.json.encode(one), reason=str(exc))


def _streamed(raw: RawEvent, event: Any, passive_secs: float) -> Iterator[Decoded]:
    kind = event.get("type") if isinstance(event, dict) else None
    data = event.get("data") if isinstance(event, dict) else None
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise MalformedPayload("not an event with `type` and `data`")
    if not kind.startswith(STREAM):
        yield Ignored(reason="other_event")
        return
    fields = {
        name[:1].upper() + name[1:]: str(value) for name, value in data.items() if isinstance(value, str | int | float)
    }
    if "MessageStatus" in fields:
        fields["MessageStatus"] = fields["MessageStatus"].lower()
    yield from events_of(raw, fields, passive_secs)
