"""The Cloud API's webhook payloads.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, field

from normalizer.codecs.whatsapp_content_types import Content, Edit, Error, Id, Reaction, Referral, Revoke


class Delivery(Struct):
    """The body of a POST."""

    object: str
    entry: tuple[Raw, ...] = ()


class Entry(Struct):
    """What happened to one WhatsApp business account."""

    id: Id = ""
    time: int | None = None
    changes: tuple[Raw, ...] = ()


class Change(Struct):
    """One webhook field of it."""

    field: str
    value: Raw = Raw(b"{}")


class Metadata(Struct):
    """Which of our phone numbers."""

    phone_number_id: Id = ""
    display_phone_number: str = ""


class Peek(Struct):
    """As much of a value as says whose it is."""

    metadata: Metadata = field(default_factory=Metadata)
    contacts: Raw = Raw(b"[]")


class PeekChange(Struct):
    """As much of a change as says whose it is."""

    value: Peek = field(default_factory=Peek)


class Profile(Struct):
    """How a person wants to be called."""

    name: str | None = None
    username: str | None = None


class Contact(Struct):
    """Who wrote, or was written to."""

    profile: Profile = field(default_factory=Profile)
    wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None


class Value(Struct):
    """What a change consists of; each field of the webhook uses some of these."""

    metadata: Metadata = field(default_factory=Metadata)
    contacts: Raw = Raw(b"[]")
    messages: tuple[Raw, ...] = ()
    message_echoes: tuple[Raw, ...] = ()
    statuses: tuple[Raw, ...] = ()
    errors: tuple[Raw, ...] = ()
    calls: tuple[Raw, ...] = ()
    user_preferences: tuple[Raw, ...] = ()


class Message(Content, kw_only=True, rename={"sender": "from"}):
    """One message, of any type; `to…` are those of an echo."""

    id: str
    timestamp: Id
    sender: str | None = None
    from_user_id: str | None = None
    from_parent_user_id: str | None = None
    to: str | None = None
    to_user_id: str | None = None
    group_id: str | None = None
    referral: Referral | None = None
    origin: str | None = None
    reaction: Reaction | None = None
    revoke: Revoke | None = None
    edit: Edit | None = None
    identity: dict[str, Any] | None = None


class Status(Struct):
    """What became of a message of ours."""

    id: str
    status: str
    timestamp: Id
    type: str | None = None
    recipient_id: str | None = None
    recipient_user_id: str | None = None
    recipient_type: str | None = None
    recipient_participant_id: str | None = None
    biz_opaque_callback_data: str | None = None
    conversation: dict[str, Any] | None = None
    pricing: dict[str, Any] | None = None
    errors: tuple[Error, ...] = ()


class Call(Struct, rename={"sender": "from"}):
    """A call to or from us; this kind takes none."""

    id: str
    timestamp: Id
    event: str = "unknown"
    direction: str | None = None
    sender: str | None = None
    from_user_id: str | None = None
    to: str | None = None
    to_user_id: str | None = None


class Preference(Struct):
    """What a person wants to get."""

    timestamp: Id
    value: str
    wa_id: str | None = None
    user_id: str | None = None
    category: str | None = None
    detail: str | None = None
    signup_id: str | None = None
