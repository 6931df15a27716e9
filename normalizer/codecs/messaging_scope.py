"""Who and where in Messenger and Instagram: everybody has an id for each page or account."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeVar

from msgspec import Struct

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs import messaging_types as t
from normalizer.codecs.meta import moment
from normalizer.errors import MalformedPayload
from normalizer.model import Conversation, EventParams, MessageParams, MessageRef, Party
from normalizer.raw import Event, RawEvent

Kind = Literal["messenger", "instagram"]
E = TypeVar("E", bound=EventParams)


class Platform(Struct, frozen=True):
    """What is different.

    Attributes:
        kind: of channel, which is also the scheme of addresses and the key of `metadata`.
        object: of deliveries.
        name: for people.
        account: the option that names our account.
    """

    kind: Kind
    object: str
    name: str
    account: str

    @property
    def version(self) -> str:
        """See `Codec`."""
        return f"{self.kind}/1"

    @property
    def service(self) -> Party:
        """Speaks where nobody is named."""
        return Party(id=ids.contact_id(self.kind, "service"), name=self.name, role="system")


MESSENGER = Platform("messenger", "page", "Messenger", "page_id")
INSTAGRAM = Platform("instagram", "instagram", "Instagram", "ig_user_id")


class Scope:
    """One item: who did it, when, and in which conversation.

    Attributes:
        raw: the delivery.
        platform: which of the two.
        ours: whether it was done by our side, with another app or in the inbox.
        native: the customer's id; empty where there is none.
        us: our account, as a party.
    """

    def __init__(self, raw: RawEvent, platform: Platform, account: str, item: t.Item) -> None:
        """Read the frame."""
        self.raw, self.platform, self._item = raw, platform, item
        sender = _native(item.sender)
        self.ours = (item.message is not None and item.message.is_echo) or sender == account
        by_ref = (item.optin.user_ref or "") if item.optin is not None else ""
        self.native = _native(item.recipient) if self.ours else sender or by_ref
        self._by_ref = (item.recipient if self.ours else item.sender).id is None
        self.us = build.party(platform.kind, account, name=raw.channel.account, role="agent" if self.ours else "bot")

    @property
    def at(self) -> datetime:
        """When it happened; when we heard of it where nothing is said. Raises `MalformedPayload`."""
        stamp = self._item.timestamp
        return self.raw.received_at if stamp is None else moment(stamp, per_second=1000)

    @property
    def stamp(self) -> str:
        """The time as it was written; part of the ids of what has none of its own."""
        return str(self._item.timestamp)

    @property
    def customer(self) -> Party:
        """Whom the conversation is with; raises `MalformedPayload` if nobody is named."""
        if not self.native:
            raise MalformedPayload("nobody is named - at `$.sender.id`")
        scheme = f"{self.platform.kind}-user-ref" if self._by_ref else self.platform.kind
        return build.party(scheme, self.native)

    @property
    def actor(self) -> Party:
        """Who did it."""
        return self.us if self.ours else self.customer

    @property
    def where(self) -> Conversation | None:
        """The conversation."""
        return build.conversation(self.raw, self.native) if self.native else None

    def theirs(self, mid: str) -> MessageRef:
        """Refer to a message that was received."""
        return MessageRef(id=ids.message_id(self.raw.channel.id, "", mid), provider_id=mid)

    def event(
        self, method: str, shape: type[E], *, native_id: str, scope: str = "", revision: str = "", **fields: Any
    ) -> Event:
        """Build an event of this conversation."""
        return build.event(
            self.raw,
            method,
            shape,
            native_id=native_id,
            scope=scope,
            revision=revision,
            normalizer=self.platform.version,
            conversation=self.where,
            **fields,
        )

    def message(self, native: str, part: p.AnyPart, **metadata: Any) -> Event:
        """Hand something on as a message of one part, from the customer if there is one."""
        sender = self.customer if self.native else self.platform.service
        made = build.message(self.raw, native_id=native, sender=sender, parts=[part], sent_at=self.at)
        extra = {self.platform.kind: metadata} if metadata else {}
        return self.event("message.received", MessageParams, native_id=native, message=made, metadata=extra)


def _native(person: t.Person) -> str:
    return str(person.id) if person.id is not None else person.user_ref or ""
