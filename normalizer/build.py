"""Shorthands for codecs, so that a codec says only what is peculiar to its provider."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeVar

import msgspec

from normalizer import ids
from normalizer.errors import MalformedPayload
from normalizer.model import (
    SCHEMA_VERSION,
    Address,
    Conversation,
    EventParams,
    Flags,
    Message,
    MessageParams,
    MessageRef,
    Party,
    RawInfo,
    Referral,
    ReplyWindow,
    Thread,
)
from normalizer.parts import AnyPart
from normalizer.raw import Event, RawEvent, Wire
from normalizer.text import plain

Role = Literal["customer", "agent", "bot", "system"]
ConversationKind = Literal["direct", "group", "email", "call", "session"]
T = TypeVar("T")
E = TypeVar("E", bound=EventParams)

DEPTH_MAX = 64
"""Nesting of what is handed on as it came."""


def parse(body: bytes | msgspec.Raw, shape: type[T]) -> T:
    """Decode JSON into `shape`; raises `MalformedPayload` with the path of the offender, never its value."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise MalformedPayload(str(exc) or "not JSON") from exc


def party(
    scheme: str,
    value: str,
    *,
    name: str | None = None,
    role: Role = "customer",
    locale: str | None = None,
    also: Iterable[Address] = (),
) -> Party:
    """Describe somebody by an address, which makes the id, and by those the provider names `also`."""
    addresses = (Address(scheme=scheme, value=value), *also)
    return Party(id=ids.contact_id(scheme, value), name=name or None, role=role, locale=locale, addresses=addresses)


def same_as(person: Party | None) -> tuple[str, ...]:
    """List the ids that a person's further addresses make, without the person's own."""
    if person is None:
        return ()
    found = (ids.contact_id(one.scheme, one.value) for one in person.addresses[1:])
    return tuple(dict.fromkeys(one for one in found if one != person.id))


def conversation(raw: RawEvent, provider_id: str, kind: ConversationKind = "direct") -> Conversation:
    """Describe the conversation that replies to `provider_id` belong to."""
    return Conversation(id=ids.conversation_id(raw.channel.id, provider_id), kind=kind, provider_id=provider_id)


@cache
def raw_info(normalizer: str) -> RawInfo:
    """Name the normaliser; shared by all events of a codec."""
    return RawInfo(normalizer=normalizer)


def event(
    raw: RawEvent,
    method: str,
    shape: type[E],
    *,
    native_id: str,
    scope: str = "",
    revision: str = "",
    normalizer: str,
    after: str = "",
    **fields: Any,
) -> Event:
    """Build an event whose ids depend only on the channel and the provider's ids.

    Args:
        raw: the delivery it came in.
        method: a notification of `normalizer.methods`.
        shape: the type of its params.
        native_id: the provider's id of what happened; with `scope` and `revision` it makes the dedup key.
        scope: see `normalizer.ids.dedup_key`.
        revision: see `normalizer.ids.dedup_key`.
        normalizer: the codec's `version`.
        after: see `Event`.
        fields: the remaining fields of `shape`; `same_as` of `contact.identified` is worked out.
    """
    if method == "contact.identified" and "same_as" not in fields:
        fields["same_as"] = same_as(fields.get("sender"))
    noun = method.partition(".")[0]
    key = ids.dedup_key(raw.channel.id, noun, scope, native_id, revision)
    params = shape(
        event_id=ids.event_id(key),
        channel=raw.channel,
        schema=SCHEMA_VERSION,
        security=raw.security,
        raw=raw_info(normalizer),
        **fields,
    )
    return Event(method=method, params=params, key=key, after=after)


def message(
    raw: RawEvent,
    *,
    native_id: str,
    scope: str = "",
    sender: Party,
    parts: Iterable[AnyPart],
    direction: Literal["in", "out", "echo"] = "in",
    revision: int = 0,
    sent_at: datetime | None = None,
    to: tuple[Party, ...] = (),
    cc: tuple[Party, ...] = (),
    subject: str | None = None,
    reply_to: MessageRef | None = None,
    thread: Thread | None = None,
    referral: Referral | None = None,
    flags: Flags | None = None,
    reply_window: ReplyWindow | None = None,
) -> Message:
    """Build a message of the delivery `raw`; `text` is rendered from the parts. For the rest see `Message`."""
    content = tuple(parts)
    return Message(
        id=ids.message_id(raw.channel.id, scope, native_id),
        provider_id=native_id,
        sender=sender,
        received_at=raw.received_at,
        text=plain(content),
        parts=content,
        direction=direction,
        revision=revision,
        sent_at=sent_at,
        to=to,
        cc=cc,
        subject=subject,
        reply_to=reply_to,
        thread=thread,
        referral=referral,
        flags=flags,
        reply_window=reply_window,
    )


def received(
    raw: RawEvent,
    message: Message,
    conversation: Conversation,
    *,
    scope: str = "",
    revision: str = "",
    updated: bool = False,
    normalizer: str,
    metadata: dict[str, Any] | None = None,
) -> Event:
    """Wrap a message in `message.received`, or `message.updated` for a later revision."""
    native_id = message.provider_id
    key = ids.dedup_key(raw.channel.id, "message", scope, native_id, revision)
    params = MessageParams(  # as `event` does it, at a third of the cost: this is what nearly every delivery becomes
        event_id=ids.event_id(key),
        channel=raw.channel,
        schema=SCHEMA_VERSION,
        security=raw.security,
        raw=raw_info(normalizer),
        message=message,
        conversation=conversation,
        metadata=metadata or {},
    )
    method, after = ("message.updated", original(raw, native_id, scope)) if updated else ("message.received", "")
    return Event(method=method, params=params, key=key, after=after)


def original(raw: RawEvent, native_id: str, scope: str = "") -> str:
    """Derive the dedup key of a message's first revision, for `Event.after` of what is done to it."""
    return ids.dedup_key(raw.channel.id, "message", scope, native_id)


def post(url: str, body: Any) -> Wire:
    """Describe a JSON POST."""
    return Wire(method="POST", url=url, headers={"Content-Type": "application/json"}, body=msgspec.json.encode(body))


def bounded(value: T) -> T:
    """Return what a provider sent, to be handed on as it came; raises `MalformedPayload` when it is nested too deep.

    What can be read 1000 levels deep cannot be written again inside an event.
    """
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        level = [
            child
            for each in level
            if isinstance(each, dict | list | tuple)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return value
    raise MalformedPayload(f"nested more than {DEPTH_MAX} levels deep")
