"""LINE's events (https://developers.line.biz/en/reference/messaging-api/#webhook-event-objects).

Those of modules: https://developers.line.biz/en/reference/partner-docs/#module-webhook-event-object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from normalizer import build
from normalizer import parts as p
from normalizer.codecs.line_content import extras, parts_of
from normalizer.codecs.line_frame import VERSION, Frame
from normalizer.codecs.line_types import Message
from normalizer.errors import MalformedPayload
from normalizer.model import DeletedParams
from normalizer.raw import Event

NOTICES = frozenset({
    "memberJoined", "memberLeft", "videoPlayComplete", "beacon", "things", "membership", "module", "activated",
    "deactivated", "botSuspended", "botResumed", "delivery", "accountLink",
})  # fmt: skip
"""Handed on as a `system` part with LINE's own object; an event we never heard of becomes `unsupported`."""

COMMON = frozenset({"type", "webhookEventId", "timestamp", "mode", "source", "replyToken", "deliveryContext"})
Fields = Mapping[str, Any]


def event_of(frame: Frame, fields: Callable[[], Fields]) -> Event:
    """Read an event.

    Args:
        frame: the event.
        fields: reads it again with all its fields; called only for events that have no shape of their own here.

    Raises:
        MalformedPayload: something it needs is missing.
    """
    read = _READ.get(frame.told.type)
    return _other(frame, fields()) if read is None else read(frame, fields)


def _message(frame: Frame, _: Callable[[], Fields]) -> Event:
    return _said(frame, _there(frame.told.message, "message"), edited=False)


def _edited(frame: Frame, _: Callable[[], Fields]) -> Event:
    return _said(frame, _there(frame.told.message, "message"), edited=True)


def _said(frame: Frame, message: Message, *, edited: bool) -> Event:
    quoted = message.quoted_message_id
    return frame.message_event(
        message.id,
        parts_of(message, frame.raw.channel.id),
        edited=edited,
        reply_to=frame.reference(quoted) if quoted else None,
        extra=extras(message),
    )


def _unsend(frame: Frame, _: Callable[[], Fields]) -> Event:
    native = _there(frame.told.unsend, "unsend").message_id
    return build.event(
        frame.raw,
        "message.deleted",
        DeletedParams,
        native_id=native,
        revision="deleted",
        after=build.original(frame.raw, native),
        normalizer=VERSION,
        conversation=frame.conversation,
        message=frame.reference(native),
        at=frame.at,
        by=frame.sender,
        metadata=frame.metadata(),
    )


def _follow(frame: Frame, _: Callable[[], Fields]) -> Event:
    again = frame.told.follow is not None and frame.told.follow.is_unblocked
    return frame.activity("contact.opted_in", reason="unblocked" if again else None)


def _postback(frame: Frame, _: Callable[[], Fields]) -> Event:
    found = _there(frame.told.postback, "postback")
    extra = {"params": build.bounded(found.params)} if found.params else None
    return frame.message_event(frame.told.webhook_event_id, [p.ChoiceReply(item_id=found.data)], extra=extra)


def _link(frame: Frame, fields: Callable[[], Fields]) -> Event:
    link = _there(frame.told.link, "link")
    if link.result != "ok":
        return _other(frame, fields())
    return frame.activity("contact.identified", reason="account_link", extra={"link": {"nonce": link.nonce}})


def _other(frame: Frame, fields: Fields) -> Event:
    """Hand on an event that has none of its own; nobody wrote it."""
    kind = frame.told.type
    args = {name: value for name, value in fields.items() if name not in COMMON}
    part = p.System(event=kind, args=build.bounded(args)) if kind in NOTICES else p.Unsupported(provider_type=kind)
    return frame.message_event(frame.told.webhook_event_id, [part], automatic=True)


def _there(value: build.T | None, name: str) -> build.T:
    if value is None:
        raise MalformedPayload(f"{name} is missing")
    return value


_READ: dict[str, Callable[[Frame, Callable[[], Fields]], Event]] = {
    "message": _message,
    "messageEdited": _edited,
    "unsend": _unsend,
    "follow": _follow,
    "unfollow": lambda frame, _: frame.activity("contact.blocked"),
    "join": lambda frame, _: frame.activity("conversation.started"),
    "leave": lambda frame, _: frame.activity("conversation.ended"),
    "postback": _postback,
    "accountLink": _link,
}
