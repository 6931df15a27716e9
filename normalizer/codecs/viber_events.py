"""Viber's callbacks (https://developers.viber.com/docs/api/rest-bot-api/#callbacks)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs.viber_content import parts_of
from normalizer.codecs.viber_send import SCHEME
from normalizer.codecs.viber_types import Callback, User
from normalizer.errors import MalformedPayload
from normalizer.model import (
    ActivityParams,
    Flags,
    MessageParams,
    MessageRef,
    Party,
    Referral,
    StatusError,
    StatusParams,
)
from normalizer.raw import Decoded, Event, Ignored, RawEvent
from normalizer.rpc import REJECTED

VERSION = "viber/1"
INBOUND = "inbound"
"""`RawEvent.meta`: the receipt is about a message the person sent."""
LATEST_MS = 32_503_680_000_000
"""The year 3000: what is later is no time (Viber's ``webhook`` callback has such)."""
STATUSES = {"delivered": "delivered", "seen": "read", "failed": "failed"}
GREETABLE = "conversation_started"
SERVICE = Party(id=ids.contact_id(SCHEME, "service"), name="Viber", role="system")
"""Speaks where Viber names nobody."""


def event_of(raw: RawEvent, told: Callback) -> Decoded:
    """Read a callback; raises `MalformedPayload` that names what is missing."""
    return _READ.get(told.event, _other)(Frame(raw, told))


class Frame:
    """What every callback has."""

    def __init__(self, raw: RawEvent, told: Callback) -> None:
        """Read what is common; a time that cannot be is none."""
        self.raw, self.told, self.token = raw, told, str(told.message_token)
        self.sent_at = datetime.fromtimestamp(told.timestamp / 1000, UTC) if 0 < told.timestamp <= LATEST_MS else None

    @property
    def user(self) -> User:
        """Whom it is about; raises `MalformedPayload`."""
        user = self.told.sender or self.told.user or (User(id=self.told.user_id) if self.told.user_id else None)
        if user is None:
            raise MalformedPayload("sender.id, user.id and user_id are missing")
        return user

    @property
    def sender(self) -> Party:
        """The person."""
        user = self.user
        return build.party(SCHEME, user.id, name=user.name, locale=user.language or None)

    def metadata(self) -> dict[str, Any]:
        """Collect what only Viber has, under its own names."""
        told, message = self.told, self.told.message
        found: dict[str, Any] = {"event": told.event, "type": told.type, "subscribed": told.subscribed}
        found |= {"silent": told.silent, "reply_type": told.reply_type, "chat_hostname": told.chat_hostname}
        if message is not None:
            found |= {"tracking_data": message.tracking_data, "thumbnail": message.thumbnail}
            found |= {"sticker_id": message.sticker_id}
        user = told.sender or told.user
        if user is not None:
            found |= {"avatar": user.avatar, "country": user.country, "api_version": user.api_version}
        return {SCHEME: {name: value for name, value in found.items() if value not in (None, "")}}

    def activity(self, method: str, *, referral: Referral | None = None) -> Event:
        """Make an event about a person."""
        return build.event(
            self.raw,
            method,
            ActivityParams,
            native_id=self.token,
            scope=self.user.id,
            normalizer=VERSION,
            conversation=build.conversation(self.raw, self.user.id),
            sender=self.sender,
            at=self.sent_at or self.raw.received_at,
            referral=referral,
            metadata=self.metadata(),
        )


def _message(frame: Frame) -> Event:
    if frame.told.message is None:
        raise MalformedPayload("message is missing")
    return _received(frame, parts_of(frame.raw, frame.told.message, frame.token, silent=bool(frame.told.silent)))


def _received(frame: Frame, parts: Iterable[p.AnyPart], *, automatic: bool = False) -> Event:
    somebody = not automatic or bool(frame.told.sender or frame.told.user or frame.told.user_id)
    scope = frame.user.id if somebody else ""
    message = build.message(
        frame.raw,
        native_id=frame.token,
        scope=scope,
        sender=frame.sender if somebody else SERVICE,
        parts=parts,
        sent_at=frame.sent_at,
        flags=Flags(auto_generated=True) if automatic else None,
    )
    return build.event(
        frame.raw,
        "message.received",
        MessageParams,
        native_id=frame.token,
        scope=scope,
        normalizer=VERSION,
        message=message,
        conversation=build.conversation(frame.raw, scope) if scope else None,
        metadata=frame.metadata(),
    )


def _started(frame: Frame) -> Event:
    context = frame.told.context
    return frame.activity(
        "conversation.started", referral=Referral(source="shortlink", ref=context) if context else None
    )


def _status(frame: Frame) -> Decoded:
    if INBOUND in frame.raw.meta:
        return Ignored(reason="receipt_of_inbound")
    status, user = STATUSES[frame.told.event], frame.user.id
    error = None
    if status == "failed":
        error = StatusError(code=REJECTED, message=f"Viber reports {(frame.told.desc or 'no reason')[:80]!r}")
    return build.event(
        frame.raw,
        "message.status",
        StatusParams,
        native_id=frame.token,
        scope=user,
        revision=status,
        normalizer=VERSION,
        conversation=build.conversation(frame.raw, user),
        message=MessageRef(provider_id=frame.token),
        status=status,
        at=frame.sent_at or frame.raw.received_at,
        error=error,
        metadata=frame.metadata(),
    )


def _other(frame: Frame) -> Event:
    """Hand on a callback nobody knows yet."""
    return _received(frame, [p.Unsupported(provider_type=f"event:{frame.told.event}")], automatic=True)


_READ: dict[str, Callable[[Frame], Decoded]] = {
    "message": _message,
    "subscribed": lambda frame: frame.activity("contact.opted_in"),
    "unsubscribed": lambda frame: frame.activity("contact.opted_out"),
    GREETABLE: _started,
    **dict.fromkeys(STATUSES, _status),
}
