"""From an item to the event it tells of: one function per family of methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from normalizer import build as b
from normalizer import parts as p
from normalizer.codecs import declarative_content as content
from normalizer.codecs import declarative_values as values
from normalizer.codecs.declarative_expr import Unreadable
from normalizer.codecs.declarative_item import Item
from normalizer.model import (
    ActivityParams,
    DeletedParams,
    MessageRef,
    ReactionParams,
    ReceiptParams,
    StatusError,
    StatusParams,
    Thread,
)
from normalizer.raw import Event
from normalizer.rpc import REJECTED

VERSION = "webhook/1"
STATUSES = frozenset({"queued", "sent", "delivered", "read", "failed", "expired"})


def build(item: Item, method: str | None) -> Event:
    """Build the event; without `method` it is a status when there is one, else a message."""
    if method is None:
        if (status := item.choose("status", "statuses", STATUSES)) is not None:
            return _status(item, "message.status", status)
        return _message(item, None)
    return _BUILDERS[method](item, method)


def _message(item: Item, method: str | None) -> Event:
    native, scope, sender = item.need("id"), item.word("scope") or "", item.person("sender")
    revision = None if method == "message.received" else item.revision()
    if method == "message.updated" and revision is None:
        raise Unreadable("$.receive.revision: found nothing; without it an edit looks like a repetition")
    if sender is None:
        raise Unreadable("$.receive.sender: found nothing, and it is required")
    conversation = item.conversation(sender.addresses[0].value)
    assert conversation is not None  # noqa: S101 -- the fallback is not empty
    recipient, thread, reply_to = item.person("recipient"), item.word("thread"), item.word("reply_to")
    message = b.message(
        item.raw,
        native_id=native,
        scope=scope,
        sender=sender,
        parts=_parts(item),
        revision=revision[1] if revision else 0,
        sent_at=values.moment(item.find("sent_at"), "$.receive.sent_at"),
        to=(recipient,) if recipient else (),
        subject=item.text("subject"),
        reply_to=MessageRef(provider_id=reply_to) if reply_to else None,
        thread=Thread(root_provider_id=thread) if thread else None,
    )
    return b.received(
        item.raw,
        message,
        conversation,
        scope=scope,
        revision=revision[0] if revision else "",
        updated=revision is not None,
        normalizer=VERSION,
        metadata=item.extras(),
    )


def _parts(item: Item) -> list[p.AnyPart]:
    return list(_content(item)) or [p.Unsupported(provider_type=item.word("type") or "unknown")]


def _content(item: Item) -> Iterator[p.AnyPart]:
    words = item.text("text")
    if (chosen := item.word("choice")) is not None:
        yield p.ChoiceReply(item_id=chosen, title=words, of=item.word("reply_to"))
    elif words is not None:
        yield p.Text(body=words, format=item.mapping.options.text_format)
    yield from content.media(item.raw, item.find("media"), "$.receive.media")
    if (place := content.location(item.find("location"), "$.receive.location")) is not None:
        yield place


def _status(item: Item, method: str, status: str | None = None) -> Event:
    status = status or item.choose("status", "statuses", STATUSES)
    if status is None:
        raise Unreadable("$.receive.status: found nothing, and it is required")
    error = item.text("error") or "the provider gave no reason"
    return _event(
        item,
        method,
        StatusParams,
        revision=status,
        conversation=item.conversation(None),
        message=item.about(),
        status=status,
        error=StatusError(code=REJECTED, message=error) if status == "failed" else None,
    )


def _deleted(item: Item, method: str) -> Event:
    return _event(
        item, method, DeletedParams, conversation=_with(item), message=item.deleted(), by=item.person("sender")
    )


def _reaction(item: Item, method: str) -> Event:
    item.need("sender")
    fields: dict[str, Any] = {"sender": item.person("sender"), "emoji": item.need("emoji"), "message": item.about()}
    return _event(item, method, ReactionParams, conversation=_with(item), **fields)


def _receipt(item: Item, method: str) -> Event:
    sender = item.person("sender")
    return _event(item, method, ReceiptParams, conversation=_with(item), sender=sender, message=item.about())


def _activity(item: Item, method: str) -> Event:
    return _event(item, method, ActivityParams, conversation=_with(item), sender=item.person("sender"))


def _with(item: Item) -> Any:
    return item.conversation(item.word("sender"))


def _event(item: Item, method: str, shape: type[Any], *, revision: str = "", **fields: Any) -> Event:
    """Wrap what is peculiar to a method; the verb is part of the dedup key, for one id may be added and removed."""
    changed = item.revision()
    return b.event(
        item.raw,
        method,
        shape,
        native_id=item.need("id"),
        scope=item.word("scope") or "",
        revision="/".join([revision or method.rpartition(".")[2], *([changed[0]] if changed else [])]),
        normalizer=VERSION,
        at=values.moment(item.find("sent_at"), "$.receive.sent_at") or item.raw.received_at,
        metadata=item.extras(),
        **fields,
    )


_BUILDERS: dict[str, Callable[[Item, str], Event]] = {
    "message.received": _message,
    "message.updated": _message,
    "message.status": _status,
    "message.deleted": _deleted,
    **dict.fromkeys(("reaction.added", "reaction.removed"), _reaction),
    **dict.fromkeys(("receipt.delivered", "receipt.read"), _receipt),
    **dict.fromkeys(
        (
            "typing.started",
            "typing.stopped",
            "contact.identified",
            "contact.opted_out",
            "contact.opted_in",
            "contact.blocked",
            "conversation.started",
            "conversation.ended",
        ),
        _activity,
    ),
}
METHODS = frozenset(_BUILDERS)
"""What `receive.method` may name."""
