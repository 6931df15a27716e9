"""Feishu and Lark wire format (https://open.feishu.cn/document/server-docs/event-subscription-guide/overview).

What is peculiar: one event per delivery, in one of two schemas; the content of a message is JSON in a string; a person
has up to three ids, told together; a message may come again under another event id.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Final

from normalizer import build
from normalizer.codecs import feishu_events, feishu_old
from normalizer.codecs import feishu_send as outgoing
from normalizer.codecs.feishu_frame import VERSION, Frame, link_of, moment
from normalizer.codecs.feishu_types import Envelope, Old
from normalizer.errors import MalformedPayload
from normalizer.methods import Params
from normalizer.model import ActivityParams, MessageParams, Party
from normalizer.raw import Decoded, Event, Ignored, Outbound, RawEvent, Wire

Link = tuple[str, ...]
"""The ids of one person, the one in this app first."""


class FeishuCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
    """

    version: Final[str] = VERSION

    def __init__(self, told: Container[Link] = ()) -> None:
        """Tell who is who, except of the people in `told`, of whom it was told before."""
        self._told = told

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read a delivery, decrypted."""
        envelope = build.parse(raw.body, Envelope)
        if envelope.type == "url_verification":
            return (Ignored(reason="url_verification"),)
        return tuple(self._read(raw, envelope))

    def _read(self, raw: RawEvent, envelope: Envelope) -> Iterator[Decoded]:
        for one in _events(raw, envelope):
            yield one
            person = _who(one)
            if isinstance(one, Event) and person and len(person.addresses) > 1 and link_of(person) not in self._told:
                yield _frame(raw, envelope).identified(person, one.params.conversation)

    def links(self, raw: RawEvent) -> list[Link]:
        """List the people of a delivery of whom `decode` tells who they are; empty for what cannot be read."""
        try:
            return [link for one in self.decode(raw) if (link := _link(one))]
        except MalformedPayload:
            return []

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of the API; raises `Unsendable`."""
        return outgoing.send(message)

    def request(self, method: str, params: Params) -> Wire:
        """Render any other request as a call of the API; raises `Unsendable`."""
        return outgoing.request(method, params)


def _events(raw: RawEvent, envelope: Envelope) -> Iterable[Decoded]:
    frame = _frame(raw, envelope)
    if _is_card(envelope):
        return feishu_events.pressed(frame, feishu_old.card(raw.body))
    if not bytes(envelope.event):
        raise MalformedPayload("the delivery has no `event`")
    read = feishu_old.events_of if envelope.header is None else feishu_events.events_of
    return read(frame, envelope.event)


def _is_card(envelope: Envelope) -> bool:
    return envelope.header is None and not envelope.type and bool(bytes(envelope.action))


def _frame(raw: RawEvent, envelope: Envelope) -> Frame:
    head = envelope.header
    if _is_card(envelope):
        return feishu_old.card_frame(raw)
    if head is not None:
        at = moment(head.create_time) or raw.received_at
        return Frame(raw, head.event_id, head.event_type, head.tenant_key, head.app_id, at)
    if envelope.type != "event_callback" or not bytes(envelope.event):
        sealed = "the delivery is encrypted; check `encrypt_key`"
        raise MalformedPayload(sealed if envelope.encrypt else "neither `header` nor an `event_callback`")
    if not envelope.uuid:
        raise MalformedPayload("the delivery has no `uuid`")
    old = build.parse(envelope.event, Old)
    at = moment(envelope.ts) or raw.received_at
    return Frame(raw, envelope.uuid, old.type, old.tenant_key, old.app_id, at)


def _who(one: Decoded) -> Party | None:
    if not isinstance(one, Event):
        return None
    if isinstance(one.params, MessageParams):
        return one.params.message.sender
    return one.params.sender if isinstance(one.params, ActivityParams) else None


def _link(one: Decoded) -> Link | None:
    person = _who(one) if isinstance(one, Event) and one.method == "contact.identified" else None
    return link_of(person) if person else None
