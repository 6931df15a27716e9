"""Who and where: what the messages and statuses of one change have in common.

A person is known by phone number (`wa_id`), by business-scoped user id (BSUID), or by both; who has a username may hide
the number: https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from normalizer import build, ids
from normalizer.codecs import whatsapp_types as t
from normalizer.codecs.meta import Links, maybe
from normalizer.errors import MalformedPayload
from normalizer.model import ActivityParams, Address, Conversation, MessageRef, Party
from normalizer.raw import Event, RawEvent

VERSION, SCHEME = "whatsapp/1", "whatsapp"
TEL, BSUID, PARENT, USERNAME, GROUP = (
    "tel",
    "whatsapp-bsuid",
    "whatsapp-parent-bsuid",
    "whatsapp-username",
    "whatsapp-group",
)
"""Address schemes."""

SERVICE = Party(id=ids.contact_id(SCHEME, "service"), name="WhatsApp", role="system")
"""Speaks where nobody is named."""

_NUMBER = re.compile(r"\d{3,20}", re.ASCII)
_people = msgspec.json.Decoder(tuple[t.Contact, ...])


class Who(Struct, frozen=True):
    """A person as a payload names it; at least one of the first two is there.

    Attributes:
        phone: digits, without plus.
        bsuid: business-scoped user id.
        also: further addresses.
        name: as the person wants to be called.
    """

    phone: str | None
    bsuid: str | None
    also: tuple[Address, ...] = ()
    name: str | None = None

    @property
    def native(self) -> str:
        """Name the person as a reply must be addressed."""
        return self.phone or self.bsuid or ""

    def party(self, role: build.Role = "customer") -> Party:
        """Describe the person; the phone number makes the id where there is one, for it is the same everywhere."""
        bsuid = () if self.bsuid is None else (Address(scheme=BSUID, value=self.bsuid),)
        if self.phone is None:
            return build.party(BSUID, self.bsuid or "", name=self.name, role=role, also=self.also)
        return build.party(TEL, f"+{self.phone}", name=self.name, role=role, also=(*bsuid, *self.also))

    def identity(self) -> Party:
        """Describe the person by what stays: a username is another person's when it is given up."""
        party = self.party()
        return replace(party, addresses=tuple(one for one in party.addresses if one.scheme != USERNAME))


def people(contacts: bytes | msgspec.Raw) -> tuple[t.Contact, ...]:
    """Read `contacts`; messages are worth more than names, so what cannot be read is nobody."""
    return maybe(contacts, _people) or ()


def links(contacts: Iterable[t.Contact]) -> Links:
    """List who is known by number and by BSUID."""
    return tuple((one.wa_id, one.user_id) for one in contacts if one.wa_id and one.user_id)


class Scope:
    """One change of a delivery.

    Attributes:
        raw: the delivery.
        us: the business, as a party.
        number: its phone number, digits only.
        told: pairs of phone number and BSUID that need not be told (again).
    """

    def __init__(self, raw: RawEvent, value: t.Value, told: Container[tuple[str, str]]) -> None:
        """Read whom the change is about."""
        self.raw = raw
        self.number = re.sub(r"\D", "", value.metadata.display_phone_number, flags=re.ASCII)
        native = f"+{self.number}" if self.number else str(value.metadata.phone_number_id)
        self.us = build.party(TEL if self.number else SCHEME, native, name=raw.channel.account, role="bot")
        self.told = told
        self._people = people(value.contacts)
        self._by_id = {name: one for one in self._people for name in (one.wa_id, one.user_id) if name}

    def who(self, phone: str | None, bsuid: str | None, parent: str | None = None) -> Who:
        """Complete a person by what `contacts` say; raises `MalformedPayload` if nobody is named."""
        if phone and not _NUMBER.fullmatch(phone):  # a BSUID where a number was
            phone, bsuid = None, bsuid or phone
        known = self._by_id.get(phone or "") or self._by_id.get(bsuid or "")
        if not phone and not bsuid and len(self._people) == 1:
            (known,) = self._people
        if known is not None:
            phone, bsuid, parent = phone or known.wa_id, bsuid or known.user_id, parent or known.parent_user_id
        if not phone and not bsuid:
            raise MalformedPayload("nobody is named - at `$.from` and `$.from_user_id`")
        profile = known.profile if known is not None else t.Profile()
        named = ((PARENT, parent), (USERNAME, profile.username))
        also = tuple(Address(scheme=scheme, value=value) for scheme, value in named if value)
        return Who(phone or None, bsuid or None, also, profile.name or profile.username)

    def where(self, who: Who, group: str | None = None) -> Conversation:
        """Describe the conversation with a person, or of a group."""
        if group:
            return build.conversation(self.raw, group, "group")
        return build.conversation(self.raw, who.native)

    def ours(self, native: str) -> MessageRef:
        """Refer to a message that may be one of ours: only its provider's id is sure."""
        return MessageRef(provider_id=native)

    def theirs(self, native: str) -> MessageRef:
        """Refer to a message that was received."""
        return MessageRef(id=ids.message_id(self.raw.channel.id, "", native), provider_id=native)

    def quoted(self, native: str, sender: str | None) -> MessageRef:
        """Refer to a message somebody answers; whose it is decides whether we know its id."""
        from_us = not sender or re.sub(r"\D", "", sender, flags=re.ASCII) == self.number
        return self.ours(native) if from_us else self.theirs(native)

    def identified(self, who: Who, at: datetime) -> Event | None:
        """Tell that a number and a BSUID are one person's, unless that was told before."""
        if who.phone is None or who.bsuid is None or (who.phone, who.bsuid) in self.told:
            return None
        return self.contact(who.identity(), at, native=who.phone, revision=who.bsuid, where=self.where(who))

    def contact(
        self, party: Party, at: datetime, *, native: str, revision: str, where: Conversation, reason: str | None = None
    ) -> Event:
        """Build `contact.identified`."""
        return build.event(
            self.raw,
            "contact.identified",
            ActivityParams,
            native_id=native,
            scope="identified",
            revision=revision,
            normalizer=VERSION,
            conversation=where,
            sender=party,
            at=at,
            reason=reason,
        )
