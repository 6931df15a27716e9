"""Messenger and Instagram messaging wire formats, which are one format with small differences.

https://developers.facebook.com/documentation/business-messaging/messenger-platform
https://developers.facebook.com/documentation/business-messaging/instagram-messaging

One delivery holds entries (pages or accounts), each with messaging items. A message's id is its ``mid``; what has none
is named by who, when and what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from normalizer.codecs import messaging_send as outgoing
from normalizer.codecs import messaging_types as t
from normalizer.codecs.messaging_events import events
from normalizer.codecs.messaging_scope import Platform, Scope
from normalizer.codecs.meta import UNKNOWN_ACCOUNT, Head, Place, guarded, maybe, read
from normalizer.errors import MalformedPayload
from normalizer.methods import Params
from normalizer.raw import BadItem, Decoded, Ignored, Outbound, RawEvent, Wire

_delivery = msgspec.json.Decoder(t.Delivery)
_head = msgspec.json.Decoder(t.Head)
_entry = msgspec.json.Decoder(t.Entry)
_change = msgspec.json.Decoder(t.Change)
_item = msgspec.json.Decoder(t.Item)
_everything = msgspec.json.Decoder(dict[str, Any])

IN_CHANGES = "messages"
"""A webhook field that Instagram's dashboard tells as a change when it sends an example."""

FIELDS = frozenset({
    "comments", "live_comments", "mentions", "story_insights", "feed", "ratings", "leadgen", "conversations", "name",
    "picture", "about", "description", "category", "website", "phone", "email", "message_template_status_update",
    "inbox_labels", "send_cart", "calls", "call_permission_reply", "business_integrity",
})  # fmt: skip
"""Webhook fields of pages and accounts that are no messages; of one nobody knows the reason says so."""


class MessagingCodec:
    """See `Codec`."""

    def __init__(
        self, platform: Platform, account: str, *, app_id: str | None = None, place: Place = lambda _: None
    ) -> None:
        """Read for one page or Instagram account.

        Args:
            platform: which of the two.
            account: its id.
            app_id: our app; echoes of its messages are left out.
            place: names the channel of another account.
        """
        self._platform, self._id, self._app_id, self._place = platform, account, app_id, place

    @property
    def version(self) -> str:
        """See `Codec`."""
        return self._platform.version

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read every item of every entry."""
        delivery = read(raw.body, _delivery)
        if delivery.object != self._platform.object:
            raise MalformedPayload(f"Expected {self._platform.object!r} - at `$.object`")
        empty = True
        for piece in delivery.entry:
            for one in guarded(partial(self._entry, raw, piece), partial(self._write, [piece])):
                empty = False
                yield one
        if empty:
            yield Ignored(reason="empty")

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of the API; raises `Unsendable`."""
        return outgoing.send(message, self._platform.kind)

    def request(self, method: str, params: Params) -> Wire:
        """Render any other request; raises `Unsendable`."""
        return outgoing.request(method, params, self._platform.kind)

    def heads(self, body: bytes) -> list[Head]:
        """See `Shared`: a part is an entry."""
        delivery = maybe(body, _delivery)
        found = []
        for piece in delivery.entry if delivery is not None else ():
            head = maybe(piece, _head)
            found.append(Head("" if head is None else str(head.id), piece))
        return found

    def join(self, heads: Sequence[Head]) -> bytes:
        """See `Shared`."""
        return self._write([head.piece for head in heads])

    def _write(self, entries: Sequence[Raw | dict[str, Any]]) -> bytes:
        return msgspec.json.encode({"object": self._platform.object, "entry": entries})

    def _entry(self, raw: RawEvent, piece: Raw) -> Iterator[Decoded]:
        entry = read(piece, _entry)
        account = str(entry.id)
        if account != self._id:
            yield from self._elsewhere(raw, piece, account)
            return
        found = False
        for item in entry.messaging:
            found = True
            yield from guarded(partial(self._one, raw, item), partial(self._alone, entry, messaging=[item]))
        for _ in entry.standby:  # another app of the page has the conversation
            found = True
            yield Ignored(reason="standby")
        for change in entry.changes:
            found = True
            yield from guarded(partial(self._change, raw, change), partial(self._alone, entry, changes=[change]))
        if not found:
            yield Ignored(reason="empty")

    def _alone(self, entry: t.Entry, **items: list[Raw]) -> bytes:
        """Write a delivery with one item, enough to read it again."""
        time = {} if entry.time is None else {"time": entry.time}
        return self._write([{"id": entry.id, **time, **items}])

    def _elsewhere(self, raw: RawEvent, piece: Raw, account: str) -> Iterator[Decoded]:
        """Read for another channel of this app, which has come since; without one it is kept in quarantine."""
        channel, body = self._place(account), self._write([piece])
        if channel is None:
            reason = UNKNOWN_ACCOUNT.format(name=self._platform.account, account=account[:32])
            yield BadItem(body=body, reason=reason)
            return
        theirs = MessagingCodec(self._platform, account, app_id=self._app_id)
        yield from theirs.decode(replace(raw, channel=channel, body=body))

    def _change(self, raw: RawEvent, piece: Raw) -> Iterator[Decoded]:
        change = read(piece, _change)
        if change.field == IN_CHANGES:
            yield from self._one(raw, change.value)
        else:
            yield Ignored(reason=f"field_{change.field}" if change.field in FIELDS else "field_unknown")

    def _one(self, raw: RawEvent, piece: Raw) -> Iterable[Decoded]:
        item = read(piece, _item)
        scope = Scope(raw, self._platform, self._id, item)
        return events(scope, item, self._app_id, partial(read, piece, _everything))
