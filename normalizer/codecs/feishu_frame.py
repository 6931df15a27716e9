"""What every delivery of Feishu has: app, tenant, who, where; and what makes two deliveries the same.

Messages are known by their own id, because the same message may come with several event ids, and because later events
name it by that; everything else by the event's id, which is the same in a redelivery. Events about a card or a recalled
message do not say whether the chat is a group's; it is then called direct.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from normalizer import build, ids
from normalizer.codecs.feishu_types import UserId
from normalizer.errors import MalformedPayload
from normalizer.model import ActivityParams, Address, Conversation, Flags, MessageParams, MessageRef, Party, Thread
from normalizer.parts import AnyPart
from normalizer.raw import Event, RawEvent

SCHEME, UNION, USER = "feishu", "feishu-unionid", "feishu-userid"
"""Schemes: of ids in this app (open_id), in all apps of one developer (union_id), in one tenant (user_id)."""
VERSION = "feishu/1"
SERVICE = Party(id=ids.contact_id(SCHEME, "service"), name="Feishu", role="system")
"""Speaks where Feishu names nobody."""

_LATEST = 32_503_680_000.0
_MICROS, _MILLIS = 1e14, 1e11  # as seconds the years 3 million and 5138


def moment(told: str | float | None) -> datetime | None:
    """Read a time in seconds, milliseconds or microseconds; raises `MalformedPayload` for what is none."""
    number = float(told or 0)
    seconds = number / 1e6 if number >= _MICROS else number / 1e3 if number >= _MILLIS else number
    if not 0 <= seconds < _LATEST:
        raise MalformedPayload("a time is beyond the year 3000, or negative")
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


class Frame(Struct, frozen=True):
    """One delivery.

    Attributes:
        event_id: names it.
        event_type: what happened.
        tenant: for whom it happened; user ids are unique in it.
        app: our app.
        at: when.
    """

    raw: RawEvent
    event_id: str
    event_type: str
    tenant: str
    app: str
    at: datetime

    def person(
        self, user: UserId | None, *, tenant: str | None = None, name: str | None = None, role: build.Role = "customer"
    ) -> Party:
        """Describe somebody by all ids that Feishu reveals; `SERVICE` where it reveals none."""
        found = [] if user is None else addresses(user, tenant or self.tenant)
        if not found:
            return SERVICE
        return build.party(found[0].scheme, found[0].value, name=name, role=role, also=found[1:])

    def conversation(self, chat: str, kind: str | None = None) -> Conversation:
        """Describe a chat; `kind` in Feishu's words."""
        return build.conversation(self.raw, chat, "group" if kind in {"group", "topic_group"} else "direct")

    def reference(self, native: str) -> MessageRef:
        """Refer to a message that may be somebody's; of ours only the provider's id is sure."""
        return MessageRef(id=ids.message_id(self.raw.channel.id, "", native), provider_id=native)

    def metadata(self, **more: Any) -> dict[str, Any]:
        """Collect what only Feishu has."""
        told = {"event_id": self.event_id, "event_type": self.event_type, "tenant_key": self.tenant or None, **more}
        return {SCHEME: {name: value for name, value in told.items() if value is not None}}

    def message(
        self,
        native: str,
        sender: Party,
        parts: Iterable[AnyPart],
        where: Conversation | None,
        *,
        sent_at: datetime | None = None,
        reply_to: MessageRef | None = None,
        thread: str | None = None,
        flags: Flags | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Event:
        """Make `message.received`."""
        message = build.message(
            self.raw,
            native_id=native,
            sender=sender,
            parts=parts,
            to=(build.party(SCHEME, self.app, name=self.raw.channel.account, role="bot"),) if self.app else (),
            sent_at=sent_at or self.at,
            reply_to=reply_to,
            thread=Thread(root_provider_id=thread) if thread else None,
            flags=flags,
        )
        return build.event(
            self.raw,
            "message.received",
            MessageParams,
            native_id=native,
            normalizer=VERSION,
            message=message,
            conversation=where,
            metadata=self.metadata(**(metadata or {})),
        )

    def activity(
        self, method: str, sender: Party, where: Conversation | None, *, reason: str | None = None, **more: Any
    ) -> Event:
        """Make an event about a person or a chat."""
        return build.event(
            self.raw,
            method,
            ActivityParams,
            native_id=self.event_id,
            normalizer=VERSION,
            conversation=where,
            sender=sender,
            at=self.at,
            reason=reason,
            metadata=self.metadata(**more),
        )

    def identified(self, person: Party, where: Conversation | None) -> Event:
        """Tell which ids are one person's: known by the first, and another event where others become known."""
        link = link_of(person)
        return build.event(
            self.raw,
            "contact.identified",
            ActivityParams,
            native_id=link[0],
            scope="identified",
            revision="/".join(link[1:]),
            normalizer=VERSION,
            conversation=where,
            sender=person,
            at=self.at,
            metadata=self.metadata(),
        )


def addresses(user: UserId, tenant: str) -> list[Address]:
    """List the ids of a person, the one in this app first."""
    within = f"{tenant}/{user.user_id}" if user.user_id else None
    told = ((SCHEME, user.open_id), (UNION, user.union_id), (USER, within))
    return [Address(scheme=scheme, value=value) for scheme, value in told if value]


def link_of(person: Party) -> tuple[str, ...]:
    """Name the ids that are one person's, as `told` of the codec remembers them."""
    return tuple(one.value for one in person.addresses)
