"""From a Telegram message to `message.received` and `message.updated`: who, where, in answer to what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from normalizer import build, ids
from normalizer.codecs import telegram_types as t
from normalizer.codecs.telegram_content import content, conversation_kind, metadata, start_payload, timestamp
from normalizer.model import Address, Conversation, Flags, MessageRef, Party, Referral, Thread
from normalizer.raw import Event, RawEvent

VERSION = "telegram/1"
SCHEME = "telegram"
SERVICE = Party(id=ids.contact_id(SCHEME, "service"), name="Telegram", role="system")
"""Speaks where Telegram names nobody."""


def provider_address(chat: t.Chat, connection: str | None = None) -> str:
    """Name where an answer goes: the chat, behind the business connection it came through if there is one."""
    return f"{connection}/{chat.id}" if connection else str(chat.id)


def conversation(raw: RawEvent, chat: t.Chat, connection: str | None = None) -> Conversation:
    """Describe the chat."""
    return build.conversation(raw, provider_address(chat, connection), conversation_kind(chat))


def person(user: t.User, role: build.Role | None = None) -> Party:
    """Describe a user; bots are told from people."""
    native = str(user.id)
    address = Address(scheme=SCHEME, value=native)
    return Party(
        id=ids.contact_id(SCHEME, native),
        name=f"{user.first_name} {user.last_name}".strip() or user.username,
        role=role or ("bot" if user.is_bot else "customer"),
        locale=user.language_code,
        addresses=(address, Address(scheme="telegram-username", value=user.username)) if user.username else (address,),
    )


def place(chat: t.Chat, role: build.Role = "customer") -> Party:
    """Describe a chat that speaks for itself: a channel, an anonymous administrator, the other side of an echo."""
    name = chat.title or f"{chat.first_name} {chat.last_name}".strip() or chat.username
    return build.party(SCHEME, str(chat.id), name=name, role=role)


def message_event(
    raw: RawEvent,
    found: t.Message,
    us: Party | None,
    *,
    update_id: int,
    kind: str,
    fields: Callable[[], dict[str, Any]],
) -> Event:
    """Build the event of a message-like update.

    Args:
        raw: the delivery.
        found: the message in it.
        us: the bot, if its id is known.
        update_id: of the delivery.
        kind: the field of the update the message stands in.
        fields: reads the message again with all its fields.
    """
    chat, connection = found.chat, found.business_connection_id
    scope = provider_address(chat, connection)
    where = build.conversation(raw, scope, conversation_kind(chat))
    sender, direction = _sender(found, us)
    edited = kind.startswith("edited_")
    revision = (found.edit_date or found.date) if edited else 0
    message = build.message(
        raw,
        native_id=str(found.message_id),
        scope=scope,
        sender=sender,
        parts=content(found, raw.channel.id, fields),
        direction=direction,
        revision=revision,
        sent_at=timestamp(found.date) if found.date else None,
        to=_to(found, us, direction),
        reply_to=_reply_to(raw, found),
        thread=thread(found),
        referral=_referral(found),
        flags=_flags(found),
    )
    return build.received(
        raw,
        message,
        where,
        scope=scope,
        revision=_revision(revision, found) if edited else "",
        updated=edited,
        normalizer=VERSION,
        metadata={"telegram": metadata(found, update_id, kind)},
    )


def _revision(edit_date: int, found: t.Message) -> str:
    # edit_date counts whole seconds: two edits within one differ in content only
    return f"{edit_date}:{ids.digest(msgspec.json.encode(found).decode())}"


def _sender(found: t.Message, us: Party | None) -> tuple[Party, Literal["in", "echo"]]:
    user = found.sender
    if found.sender_business_bot is not None:
        return person(found.sender_business_bot, "bot"), "echo"
    if found.sender_chat is not None:  # `from` is then a stand-in of Telegram's
        return place(found.sender_chat), "in"
    if user is None:
        return place(found.chat), "in"
    if found.business_connection_id and found.chat.private and user.id != found.chat.id:
        return person(user, "agent"), "echo"  # our side wrote from its own phone
    party = person(user)
    if us is not None and party.id == us.id:
        return party, "echo"
    card = found.contact
    if card is not None and card.user_id == user.id:
        party = replace(party, addresses=(*party.addresses, Address(scheme="tel", value=_tel(card.phone_number))))
    return party, "in"


def _tel(number: str) -> str:
    return f"+{number}" if number.isdecimal() else number


def _to(found: t.Message, us: Party | None, direction: Literal["in", "echo"]) -> tuple[Party, ...]:
    if direction == "echo":
        return (place(found.chat),)
    return (us,) if us is not None else ()


def _reply_to(raw: RawEvent, found: t.Message) -> MessageRef | None:
    quoted = found.reply_to_message
    if quoted is None or (found.is_topic_message and quoted.message_id == found.message_thread_id):
        return None
    return reference(raw, quoted.chat, quoted.message_id, found.business_connection_id)


def _referral(found: t.Message) -> Referral | None:
    payload = start_payload(found)
    return Referral(source="shortlink", ref=payload) if payload is not None and found.chat.private else None


def _flags(found: t.Message) -> Flags | None:
    forwarded = found.forward_origin is not None or found.forward_date is not None
    if not (forwarded or found.is_from_offline):
        return None
    return Flags(forwarded=forwarded, auto_generated=found.is_from_offline)


def thread(found: t.Message) -> Thread | None:
    """Name the topic a message belongs to, None outside topics and comment threads."""
    native = found.message_thread_id
    return None if native is None else Thread(root_provider_id=str(native))


def reference(raw: RawEvent, chat: t.Chat, message_id: int, connection: str | None = None) -> MessageRef:
    """Refer to a message of a chat."""
    native = str(message_id)
    scope = provider_address(chat, connection)
    return MessageRef(id=ids.message_id(raw.channel.id, scope, native), provider_id=native)
