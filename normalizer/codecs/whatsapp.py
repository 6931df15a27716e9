"""WhatsApp Cloud API wire format (https://developers.facebook.com/documentation/business-messaging/whatsapp).

One delivery holds entries (accounts), each with changes (fields), each with messages or statuses of one phone number.
A message's id (``wamid…``) is unique; statuses share it, so theirs is id, status and time.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from normalizer import ids
from normalizer.codecs import whatsapp_events as events
from normalizer.codecs import whatsapp_send as outgoing
from normalizer.codecs import whatsapp_types as t
from normalizer.codecs.meta import UNKNOWN_ACCOUNT, Head, Place, guarded, maybe, read
from normalizer.codecs.whatsapp_content_types import Error
from normalizer.codecs.whatsapp_message import events as message_events
from normalizer.codecs.whatsapp_scope import VERSION, Scope, links, people
from normalizer.errors import MalformedPayload
from normalizer.methods import Params
from normalizer.raw import BadItem, Decoded, Event, Ignored, Outbound, RawEvent, Wire

OBJECT = "whatsapp_business_account"

T = TypeVar("T")
Reader = Callable[[Scope, T], Iterable[Decoded]]

_delivery = msgspec.json.Decoder(t.Delivery)
_entry = msgspec.json.Decoder(t.Entry)
_change = msgspec.json.Decoder(t.Change)
_value = msgspec.json.Decoder(t.Value)
_peek = msgspec.json.Decoder(t.PeekChange)
_error = msgspec.json.Decoder(Error)

ITEMS: dict[str, tuple[msgspec.json.Decoder[Any], Reader[Any]]] = {
    "messages": (msgspec.json.Decoder(t.Message), message_events),
    "message_echoes": (msgspec.json.Decoder(t.Message), partial(message_events, echo=True)),
    "statuses": (msgspec.json.Decoder(t.Status), events.status),
    "calls": (msgspec.json.Decoder(t.Call), events.call),
    "user_preferences": (msgspec.json.Decoder(t.Preference), events.preference),
}
"""Lists of a value → how their items are read."""

READ = frozenset({"messages", "smb_message_echoes", "calls", "user_preferences"})
"""Webhook fields that are read."""


class WhatsappCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
    """

    version: Final[str] = VERSION

    def __init__(
        self,
        phone_number_id: str,
        *,
        told: Container[tuple[str, str]] = (),
        place: Place = lambda _: None,
    ) -> None:
        """Read for one phone number.

        Args:
            phone_number_id: whose messages these are.
            told: pairs of number and BSUID that are durable already, and are not told again.
            place: names the channel of another number.
        """
        self._id, self._told, self._place = phone_number_id, told, place

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read every item of every change of every entry."""
        delivery = read(raw.body, _delivery)
        if delivery.object != OBJECT:
            raise MalformedPayload(f"Expected {OBJECT!r} - at `$.object`")
        seen: set[str] = set()
        empty = True
        for piece in delivery.entry:
            for one in guarded(partial(self._entry, raw, piece), partial(_wrap, piece)):
                empty = False
                if isinstance(one, Event) and one.method == "contact.identified":
                    if one.key in seen:
                        continue
                    seen.add(one.key)
                yield one
        if empty:
            yield Ignored(reason="empty")

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of the API; raises `Unsendable`."""
        return outgoing.send(message, self._id)

    def request(self, method: str, params: Params) -> Wire:
        """Render any other request; raises `Unsendable`."""
        return outgoing.request(method, params, self._id)

    def heads(self, body: bytes) -> list[Head]:
        """See `Shared`: a part is a change."""
        delivery = maybe(body, _delivery)
        found = []
        for piece in delivery.entry if delivery is not None else ():
            entry = maybe(piece, _entry)
            if entry is None:
                found.append(Head("", piece))
                continue
            for change in entry.changes:
                peek = maybe(change, _peek)
                account = "" if peek is None else str(peek.value.metadata.phone_number_id)
                told = () if peek is None else links(people(peek.value.contacts))
                found.append(Head(account, change, entry.id or "?", entry.time, told))
        return found

    def join(self, heads: Sequence[Head]) -> bytes:
        """See `Shared`."""
        entries = [_around(head) if head.entry else head.piece for head in heads]
        return msgspec.json.encode({"object": OBJECT, "entry": entries})

    def _entry(self, raw: RawEvent, piece: Raw) -> Iterator[Decoded]:
        entry = read(piece, _entry)
        for change in entry.changes:
            head = Head("", change, entry.id or "?", entry.time)
            yield from guarded(partial(self._change, raw, head), partial(self.join, [head]))

    def _change(self, raw: RawEvent, head: Head) -> Iterator[Decoded]:
        change = read(head.piece, _change)
        if change.field in events.FIELDS:
            yield Ignored(reason=f"field_{change.field}")
            return
        if change.field not in READ:
            digest = ids.digest(bytes(head.piece).hex(), str(head.time))
            yield events.other(raw, change.field[:64] or "unknown", digest)
            return
        value = read(change.value, _value)
        account = str(value.metadata.phone_number_id)
        if account != self._id:
            yield from self._elsewhere(raw, head, account)
            return
        yield from self._items(raw, head, change.field, value)

    def _elsewhere(self, raw: RawEvent, head: Head, account: str) -> Iterator[Decoded]:
        """Read for another channel of this app, which has come since; without one it is kept in quarantine."""
        channel = self._place(account)
        if channel is None:
            reason = UNKNOWN_ACCOUNT.format(name="phone_number_id", account=account[:32])
            yield BadItem(body=self.join([head]), reason=reason)
            return
        theirs = WhatsappCodec(account, told=self._told)
        yield from theirs.decode(replace(raw, channel=channel, body=self.join([head])))

    def _items(self, raw: RawEvent, head: Head, name: str, value: t.Value) -> Iterator[Decoded]:
        scope = Scope(raw, value, self._told)
        found = 0
        for field, (decoder, reader) in ITEMS.items():
            for piece in getattr(value, field):
                found += 1
                yield from guarded(
                    partial(_one, scope, piece, decoder, _call_status if _is_call(name, field) else reader),
                    partial(self._alone, head, name, value, field, piece),
                )
        for piece in value.errors:
            found += 1
            yield from guarded(
                partial(_fault, scope, piece, head.time), partial(self._alone, head, name, value, "errors", piece)
            )
        if not found:
            yield Ignored(reason="empty")

    def _alone(self, head: Head, name: str, value: t.Value, field: str, piece: Raw) -> bytes:
        """Write a delivery with one item of a value, enough to read it again."""
        metadata = msgspec.structs.asdict(value.metadata)
        inner = {"metadata": metadata, "contacts": value.contacts, field: [piece]}
        return self.join([replace(head, piece=Raw(msgspec.json.encode({"field": name, "value": inner})))])


def _around(head: Head) -> dict[str, Any]:
    time = {} if head.time is None else {"time": head.time}
    return {"id": head.entry, **time, "changes": [head.piece]}


def _wrap(entry: Raw) -> bytes:
    return msgspec.json.encode({"object": OBJECT, "entry": [entry]})


def _one(scope: Scope, piece: Raw, decoder: msgspec.json.Decoder[T], reader: Reader[T]) -> Iterable[Decoded]:
    return reader(scope, read(piece, decoder))


def _fault(scope: Scope, piece: Raw, time: int | None) -> Iterable[Decoded]:
    return events.fault(scope, read(piece, _error), piece, time)


def _is_call(name: str, field: str) -> bool:
    return name == "calls" and field == "statuses"


def _call_status(scope: Scope, found: t.Status) -> Iterator[Decoded]:
    """Hand on that a call of ours rings, as content this kind cannot take."""
    who = scope.who(found.recipient_id, found.recipient_user_id)
    word = found.status.lower()
    native = f"{found.id}:{word}:{found.timestamp}"
    yield events.other(scope.raw, f"call.{word}"[:64], native, who.party(), scope.where(who))
