"""What every LINE event has: who, where, when, and what makes it the same event."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import msgspec

from normalizer import build, ids
from normalizer.codecs.line_types import Event as Told
from normalizer.codecs.line_types import Source
from normalizer.model import ActivityParams, Conversation, Flags, MessageParams, MessageRef, Party, ReplyWindow
from normalizer.parts import AnyPart
from normalizer.raw import Event, RawEvent

SCHEME = "line"
VERSION = "line/1"
PEOPLE = "people"
"""`RawEvent.meta`: user id → [name, language], as JSON, where the connector asked for profiles."""
REPLY_SECS = 60.0
"""How long a reply token works (https://developers.line.biz/en/reference/messaging-api/#send-reply-message)."""
SERVICE = Party(id=ids.contact_id(SCHEME, "service"), name="LINE", role="system")
"""Speaks where LINE names nobody."""


def place_of(source: Source | None) -> str:
    """Name where an answer goes: the group, the room or the person; empty if LINE does not say."""
    if source is None:
        return ""
    return source.group_id or source.room_id or source.user_id or ""


def people_of(raw: RawEvent) -> dict[str, tuple[str, str | None]]:
    """Read the profiles the connector found for this delivery; empty if there are none."""
    try:
        return msgspec.json.decode(raw.meta.get(PEOPLE, "{}"), type=dict[str, tuple[str, str | None]])
    except msgspec.MsgspecError:
        return {}


class Frame:
    """One event.

    Messages are known by their own id, which later events (``unsend``, ``messageEdited``) name, too; everything else
    by `webhookEventId`. Both are the same when LINE delivers again, while the reply token is another one.
    """

    def __init__(self, raw: RawEvent, told: Told, destination: str) -> None:
        """Read what is common; `destination` is the user id of the bot."""
        self.raw, self.told, self._us = raw, told, destination
        self.at = datetime.fromtimestamp(told.timestamp / 1000, UTC)

    @cached_property
    def conversation(self) -> Conversation | None:
        """The chat; None where LINE does not say."""
        native = place_of(self.told.source)
        kind: build.ConversationKind = "direct" if self.told.source and not _crowd(self.told.source) else "group"
        return build.conversation(self.raw, native, kind) if native else None

    @cached_property
    def sender(self) -> Party:
        """The person; the group where LINE does not say who in it, LINE itself where it says nothing."""
        user = self.told.source.user_id if self.told.source else None
        if user:
            name, locale = people_of(self.raw).get(user, (None, None))
            return build.party(SCHEME, user, name=name, locale=locale)
        native = place_of(self.told.source)
        return build.party(SCHEME, native) if native else SERVICE

    def message_event(
        self,
        native: str,
        parts: Iterable[AnyPart],
        *,
        edited: bool = False,
        automatic: bool = False,
        reply_to: MessageRef | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Event:
        """Make `message.received`, or `message.updated` where the event is an edit."""
        message = build.message(
            self.raw,
            native_id=native,
            sender=self.sender,
            parts=parts,
            to=(build.party(SCHEME, self._us, name=self.raw.channel.account, role="bot"),) if self._us else (),
            sent_at=self.at,
            revision=self.told.timestamp if edited else 0,  # edits may come in any order; the latest time counts
            reply_to=reply_to,
            flags=Flags(auto_generated=True) if automatic else None,
            reply_window=self._window(),
        )
        return build.event(
            self.raw,
            "message.updated" if edited else "message.received",
            MessageParams,
            native_id=native,
            revision=self.told.webhook_event_id if edited else "",
            normalizer=VERSION,
            message=message,
            conversation=self.conversation,
            metadata=self.metadata(extra),
            after=build.original(self.raw, native) if edited else "",
        )

    def activity(self, method: str, *, reason: str | None = None, extra: dict[str, Any] | None = None) -> Event:
        """Make an event about a person or a chat."""
        return build.event(
            self.raw,
            method,
            ActivityParams,
            native_id=self.told.webhook_event_id,
            normalizer=VERSION,
            conversation=self.conversation,
            sender=self.sender,
            at=self.at,
            reason=reason,
            metadata=self.metadata(extra),
        )

    def reference(self, native: str) -> MessageRef:
        """Refer to a message."""
        return MessageRef(id=ids.message_id(self.raw.channel.id, "", native), provider_id=native)

    def metadata(self, extra: dict[str, Any] | None = None) -> dict[str, Any]:
        """Say which event it was, whether LINE delivers it again, and whether somebody else is to answer (standby)."""
        told: dict[str, Any] = {"type": self.told.type, "webhookEventId": self.told.webhook_event_id}
        if self.told.delivery_context.is_redelivery:
            told["isRedelivery"] = True
        if self.told.mode != "active":
            told["mode"] = self.told.mode
        return {SCHEME: {**told, **(extra or {})}}

    def _window(self) -> ReplyWindow | None:
        """Say until when an answer costs nothing; later ones are pushed, without end."""
        if not self.told.reply_token:
            return None
        return ReplyWindow(mode="passive", passive_deadline=self.raw.received_at + timedelta(seconds=REPLY_SECS))


def _crowd(source: Source) -> bool:
    return bool(source.group_id or source.room_id)
