"""Telegram updates that are not messages: button presses, reactions, memberships, deletions and all the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from normalizer import build
from normalizer import parts as p
from normalizer.codecs import telegram_types as t
from normalizer.codecs.telegram_content import as_args, timestamp
from normalizer.codecs.telegram_message import (
    SERVICE,
    VERSION,
    conversation,
    person,
    place,
    provider_address,
    reference,
    thread,
)
from normalizer.model import ActivityParams, Conversation, DeletedParams, MessageParams, Party, ReactionParams
from normalizer.raw import Event, Ignored, RawEvent

T = TypeVar("T")

KNOWN = frozenset({
    "inline_query", "chosen_inline_result", "shipping_query", "pre_checkout_query", "poll", "poll_answer",
    "chat_member", "chat_join_request", "chat_boost", "removed_chat_boost", "message_reaction_count",
    "business_connection", "purchased_paid_media", "managed_bot",
})  # fmt: skip
"""Updates handed on as a `system` part with Telegram's own object; one we never heard of becomes `unsupported`."""

OUT = frozenset({"left", "kicked"})
"""Statuses of a chat member that is not there (any more)."""


def callback(raw: RawEvent, query: t.CallbackQuery, us: Party | None, update_id: int) -> Event:
    """Read a button press; inline messages are in no chat, so their presses belong to the chat with the person."""
    asked = query.message
    chat = asked.chat if asked else t.Chat(id=query.sender.id, type="private")
    connection = asked.business_connection_id if asked else None
    item = query.data if query.data is not None else query.game_short_name or ""
    choice = p.ChoiceReply(
        item_id=item,
        title=_title(asked, item),
        of=str(asked.message_id) if asked else query.inline_message_id,
    )
    message = build.message(
        raw,
        native_id=f"callback:{query.id}",
        sender=person(query.sender),
        parts=[choice],
        to=(us,) if us else (),
        reply_to=reference(raw, chat, asked.message_id, connection) if asked else None,
        thread=thread(asked) if asked else None,
    )
    return build.received(
        raw,
        message,
        conversation(raw, chat, connection),
        normalizer=VERSION,
        metadata={"telegram": {"update_id": update_id, "callback_query_id": str(query.id)}},
    )


def _title(asked: t.Message | None, item: str) -> str | None:
    rows = asked.reply_markup.inline_keyboard if asked and asked.reply_markup else ()
    return next((button.text for row in rows for button in row if button.callback_data == item), None)


def reactions(raw: RawEvent, found: t.MessageReaction, update_id: int) -> Iterator[Event | Ignored]:
    """Tell what was added and removed, from the lists before and after."""
    old, new = (tuple(map(_emoji, side)) for side in (found.old_reaction, found.new_reaction))
    changes = [("reaction.removed", one) for one in dict.fromkeys(old) if one not in new]
    changes += [("reaction.added", one) for one in dict.fromkeys(new) if one not in old]
    if not changes:
        yield Ignored(reason="reaction_unchanged")
    for method, emoji in changes:
        yield build.event(
            raw,
            method,
            ReactionParams,
            native_id=str(update_id),
            scope=f"{found.chat.id}/{found.message_id}",
            revision=f"{method} {emoji}",
            normalizer=VERSION,
            conversation=conversation(raw, found.chat),
            message=reference(raw, found.chat, found.message_id),
            sender=_actor(found),
            emoji=emoji,
            at=timestamp(found.date),
            metadata={"telegram": {"update_id": update_id}},
        )


def _emoji(reaction: t.ReactionType) -> str:
    if reaction.emoji is not None:
        return reaction.emoji
    return f"{reaction.type}:{reaction.custom_emoji_id}" if reaction.custom_emoji_id else reaction.type


def _actor(found: t.MessageReaction) -> Party:
    if found.user is not None:
        return person(found.user)
    return place(found.actor_chat) if found.actor_chat is not None else SERVICE


def membership(raw: RawEvent, found: t.MemberUpdate, update_id: int) -> Event:
    """Tell what became of the bot: blocked or let in again by a person, added to or removed from a group."""
    old, new = found.old_chat_member.status, found.new_chat_member.status
    left, entered = new in OUT and old not in OUT, old in OUT and new not in OUT
    if not (left or entered):
        part = p.System(event="my_chat_member", args={"old": old, "new": new})
        return _message(raw, update_id, person(found.sender), conversation(raw, found.chat), part)
    methods = ("contact.blocked", "contact.opted_in") if found.chat.private else _GROUP
    return build.event(
        raw,
        methods[0] if left else methods[1],
        ActivityParams,
        native_id=str(update_id),
        scope=str(found.chat.id),
        revision=f"{old} {new}",
        normalizer=VERSION,
        conversation=conversation(raw, found.chat),
        sender=person(found.sender),
        at=timestamp(found.date),
        reason=new,
        metadata={"telegram": {"update_id": update_id}},
    )


_GROUP = ("conversation.ended", "conversation.started")


def deleted(raw: RawEvent, found: t.DeletedMessages, update_id: int) -> Iterator[Event | Ignored]:
    """Tell which messages a business account deleted; Telegram does not say when, so it is when we heard of it."""
    if not found.message_ids:
        yield Ignored(reason="nothing_deleted")
    for native in dict.fromkeys(found.message_ids):
        yield build.event(
            raw,
            "message.deleted",
            DeletedParams,
            native_id=str(native),
            scope=provider_address(found.chat, found.business_connection_id),
            revision="deleted",
            after=build.original(raw, str(native), provider_address(found.chat, found.business_connection_id)),
            normalizer=VERSION,
            conversation=conversation(raw, found.chat, found.business_connection_id),
            message=reference(raw, found.chat, native, found.business_connection_id),
            at=raw.received_at,
            metadata={"telegram": {"update_id": update_id}},
        )


def other(raw: RawEvent, kind: str, value: Any, update_id: int) -> Event:
    """Hand on an update that has no event of its own."""
    known = value if isinstance(value, dict) else {}
    user = _convert(known.get("from") or known.get("user"), t.User)
    chat = _convert(known.get("chat"), t.Chat)
    if chat is None and user is not None:
        chat = t.Chat(id=user.id, type="private")
    part = p.System(event=kind, args=as_args(value)) if kind in KNOWN else p.Unsupported(provider_type=kind)
    sender = person(user) if user is not None else SERVICE
    return _message(raw, update_id, sender, conversation(raw, chat) if chat is not None else None, part)


def _convert(value: Any, shape: type[T]) -> T | None:
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError:
        return None


def _message(raw: RawEvent, update_id: int, sender: Party, where: Conversation | None, part: p.AnyPart) -> Event:
    message = build.message(raw, native_id=f"update:{update_id}", sender=sender, parts=[part])
    return build.event(
        raw,
        "message.received",
        MessageParams,
        native_id=message.provider_id,
        normalizer=VERSION,
        message=message,
        conversation=where,
        metadata={"telegram": {"update_id": update_id}},
    )
