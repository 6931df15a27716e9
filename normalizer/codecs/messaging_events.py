"""What happens in Messenger and Instagram conversations, item by item."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import msgspec

from normalizer import build
from normalizer import parts as p
from normalizer.build import bounded
from normalizer.codecs import messaging_types as t
from normalizer.codecs.messaging_activity import (
    came_from,
    delivered,
    hashed,
    optin_event,
    referral_event,
    seen,
    told_of,
)
from normalizer.codecs.messaging_content import content
from normalizer.codecs.messaging_scope import Scope
from normalizer.codecs.meta import present
from normalizer.errors import MalformedPayload
from normalizer.model import (
    DeletedParams,
    MessageParams,
    MessageRef,
    ReactionParams,
    ReplyWindow,
)
from normalizer.raw import Decoded, Event, Ignored

OURS = "msg_"
"""How our message ids begin; a message sent to Messenger carries its id as `metadata`, and its echo brings it back."""

WINDOW = timedelta(hours=24)
"""https://developers.facebook.com/documentation/business-messaging/messenger-platform/policy/policy-overview"""

HANDOVER = frozenset({"pass_thread_control", "take_thread_control", "request_thread_control", "app_roles"})
KNOWN = frozenset({"account_linking", "game_play", "messaging_feedback", "policy_enforcement", "group_feed"})
"""Handed on as `system` with Meta's own object; one nobody heard of becomes `unsupported`."""

FRAME = frozenset({"sender", "recipient", "timestamp"})


def events(
    scope: Scope, item: t.Item, app_id: str | None, everything: Callable[[], dict[str, Any]]
) -> Iterator[Decoded]:
    """Read one item; raises `MalformedPayload`.

    Args:
        scope: its frame.
        item: as far as it is known.
        app_id: our app, whose echoes are our own messages.
        everything: reads all of the item, for what is not known.
    """
    if item.message is not None:
        yield _message(scope, item.message, app_id)
    elif item.delivery is not None:
        yield from delivered(scope, item.delivery)
    else:
        yield _single(scope, item) or _other(scope, everything())


def _single(scope: Scope, item: t.Item) -> Event | None:
    for name, reader in _READERS.items():
        found = getattr(item, name)
        if found is not None:
            return reader(scope, found)
    return None


def _message(scope: Scope, message: t.Message, app_id: str | None) -> Event | Ignored:
    if message.is_deleted:
        return _deleted(scope, message.mid)
    if scope.ours and _by_us(message, app_id):
        return Ignored(reason="own_echo")
    made = build.message(
        scope.raw,
        native_id=message.mid,
        sender=scope.actor,
        parts=content(scope, message),
        direction="echo" if scope.ours else "in",
        sent_at=scope.at,
        to=(scope.customer if scope.ours else scope.us,),
        reply_to=_reply_to(scope, message.reply_to),
        referral=came_from(message.referral),
        reply_window=None if scope.ours else ReplyWindow(until=scope.at + WINDOW),
    )
    return scope.event(
        "message.received", MessageParams, native_id=message.mid, message=made, metadata=_metadata(scope, message)
    )


def _by_us(message: t.Message, app_id: str | None) -> bool:
    told = message.metadata or ""
    return told.startswith(OURS) or (app_id is not None and str(message.app_id) == app_id)


def _reply_to(scope: Scope, reply: t.ReplyTo | None) -> MessageRef | None:
    if reply is None or reply.mid is None:
        return None
    return scope.theirs(reply.mid) if reply.is_self_reply else MessageRef(provider_id=reply.mid)


def _metadata(scope: Scope, message: t.Message) -> dict[str, Any]:
    story = message.reply_to.story if message.reply_to else None
    extra = present(
        attachments=[one.type for one in message.attachments],
        story=present(id=story.id, url=story.url) if story else None,
        referral=told_of(message.referral),
        app_id=message.app_id,
        metadata=message.metadata,
    )
    return {scope.platform.kind: extra} if extra else {}


def _deleted(scope: Scope, mid: str) -> Event:
    return scope.event(
        "message.deleted",
        DeletedParams,
        native_id=mid,
        revision="deleted",
        after=build.original(scope.raw, mid),
        message=scope.theirs(mid),
        at=scope.at,
        by=scope.actor,
    )


def _edited(scope: Scope, edit: t.Edit) -> Event:
    try:
        revision = int(edit.num_edit)
    except ValueError:
        raise MalformedPayload("Expected a whole number - at `$.message_edit.num_edit`") from None
    part = p.Unsupported(provider_type="message_edit") if edit.text is None else p.Text(body=edit.text)
    made = build.message(
        scope.raw,
        native_id=edit.mid,
        sender=scope.actor,
        parts=[part],
        direction="echo" if scope.ours else "in",
        revision=revision,
        to=(scope.customer if scope.ours else scope.us,),
    )
    return scope.event(
        "message.updated",
        MessageParams,
        native_id=edit.mid,
        revision=f"edit:{revision}",
        after=build.original(scope.raw, edit.mid),
        message=made,
    )


def _reaction(scope: Scope, reaction: t.Reaction) -> Event:
    removed = reaction.action != "react"
    return scope.event(
        "reaction.removed" if removed else "reaction.added",
        ReactionParams,
        native_id=f"{scope.native}:{scope.stamp}",
        scope=reaction.mid,
        revision=f"{reaction.action} {reaction.emoji or reaction.reaction or ''}",
        message=MessageRef(provider_id=reaction.mid),
        sender=scope.actor,
        emoji=reaction.emoji or reaction.reaction or "",
        at=scope.at,
    )


def _postback(scope: Scope, postback: t.Postback) -> Event:
    native = postback.mid or hashed(scope, "postback", postback.payload, postback.title)
    item = postback.payload if postback.payload is not None else postback.title or ""
    made = build.message(
        scope.raw,
        native_id=native,
        sender=scope.actor,
        parts=[p.ChoiceReply(item_id=item, title=postback.title)],
        sent_at=scope.at,
        to=(scope.us,),
        referral=came_from(postback.referral),
        reply_window=ReplyWindow(until=scope.at + WINDOW),
    )
    extra = present(postback=True, referral=told_of(postback.referral))
    return scope.event(
        "message.received", MessageParams, native_id=native, message=made, metadata={scope.platform.kind: extra}
    )


def _other(scope: Scope, everything: dict[str, Any]) -> Event | Ignored:
    """Hand on what has no event of its own: as it is where we know its name, else as unsupported."""
    names = [name for name in everything if name not in FRAME]
    if not names:
        raise MalformedPayload("nothing happened - at `$`")
    name = names[0]
    if name in HANDOVER:
        return Ignored(reason="handover")
    word = name.replace("-", "_")[:64]
    value = bounded(everything[name])
    args = value if isinstance(value, dict) else {"value": value}
    known = word in KNOWN
    part: p.AnyPart = p.System(event=word, args=args) if known else p.Unsupported(provider_type=word)
    return scope.message(hashed(scope, word, msgspec.json.encode(value).decode()), part)


_READERS: dict[str, Callable[[Scope, Any], Event]] = {
    "message_edit": _edited,
    "reaction": _reaction,
    "postback": _postback,
    "referral": referral_event,
    "optin": optin_event,
    "read": seen,
}
