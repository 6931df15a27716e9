"""WhatsApp messages: new, changed, taken back, reacted to, and those that say something about a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from normalizer import build
from normalizer.build import bounded
from normalizer.codecs import whatsapp_types as t
from normalizer.codecs.meta import moment, present, read
from normalizer.codecs.whatsapp_content import content
from normalizer.codecs.whatsapp_content_types import Content, Context, Referral, System
from normalizer.codecs.whatsapp_scope import BSUID, SCHEME, TEL, VERSION, Scope, Who
from normalizer.errors import MalformedPayload
from normalizer.model import (
    ActivityParams,
    Address,
    DeletedParams,
    Flags,
    Party,
    ReactionParams,
    ReplyWindow,
)
from normalizer.model import Referral as From
from normalizer.raw import Event

WINDOW = timedelta(hours=24)
"""https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages#customer-service-windows"""

CHANGES = frozenset({"user_changed_number", "customer_changed_number", "user_changed_user_id"})
ORIGIN = "contact_request"
"""`origin` of a contact card with which a person gives its own number away, asked by us."""

_content = msgspec.json.Decoder(Content)


class Told:
    """One message with what follows from it: when, who, where, and on whose behalf it was written."""

    def __init__(self, scope: Scope, message: t.Message, *, echo: bool) -> None:
        """Read the frame; an `echo` was written in the business's own app."""
        self.scope, self.message, self.echo = scope, message, echo
        self.at: datetime = moment(message.timestamp)
        self.who: Who = (
            scope.who(message.to, message.to_user_id)
            if echo
            else scope.who(message.sender, message.from_user_id, message.from_parent_user_id)
        )
        self.where = scope.where(self.who, message.group_id)
        self.sender: Party = msgspec.structs.replace(scope.us, role="agent") if echo else self.who.party()


def events(scope: Scope, message: t.Message, *, echo: bool = False) -> Iterator[Event]:
    """Read one message, which may be several events; raises `MalformedPayload`."""
    if message.system is not None and message.system.type in CHANGES:
        yield _changed(scope, message, message.system)
        return
    told = Told(scope, message, echo=echo)
    if message.type == "reaction" and message.reaction is not None:
        yield _reaction(told, message.reaction.message_id, message.reaction.emoji or "")
    elif message.type == "revoke" and message.revoke is not None:
        yield _deleted(told, message.revoke.original_message_id)
    elif message.type == "edit" and message.edit is not None:
        yield _edited(told, message.edit.original_message_id, read(message.edit.message, _content))
    elif message.type == "request_welcome":
        yield _activity(told, "conversation.started")
    else:
        yield _received(told)
    identified = _own_number(told) or scope.identified(told.who, told.at)
    if identified is not None:
        yield identified


def _received(told: Told) -> Event:
    message, scope = told.message, told.scope
    made = build.message(
        scope.raw,
        native_id=message.id,
        sender=told.sender,
        parts=content(message, scope.raw.channel.id, told.at),
        direction="echo" if told.echo else "in",
        sent_at=told.at,
        to=(told.who.party(),) if told.echo else (scope.us,),
        reply_window=None if told.echo or message.group_id else ReplyWindow(until=told.at + WINDOW),
        referral=_referral(message.referral),
        **_context(scope, message.context),
    )
    return build.received(scope.raw, made, told.where, normalizer=VERSION, metadata=_metadata(message))


def _edited(told: Told, original: str, new: Content) -> Event:
    scope = told.scope
    made = build.message(
        scope.raw,
        native_id=original,
        sender=told.sender,
        parts=content(new, scope.raw.channel.id, told.at),
        direction="echo" if told.echo else "in",
        revision=int(told.at.timestamp()),
        to=(told.who.party(),) if told.echo else (scope.us,),
        **_context(scope, new.context),
    )
    return build.received(scope.raw, made, told.where, revision=told.message.id, updated=True, normalizer=VERSION)


def _deleted(told: Told, original: str) -> Event:
    raw = told.scope.raw
    return build.event(
        raw,
        "message.deleted",
        DeletedParams,
        native_id=original,
        revision="deleted",
        after=build.original(raw, original),
        normalizer=VERSION,
        conversation=told.where,
        message=told.scope.theirs(original),
        at=told.at,
        by=told.sender,
    )


def _reaction(told: Told, target: str, emoji: str) -> Event:
    return build.event(
        told.scope.raw,
        "reaction.added" if emoji else "reaction.removed",
        ReactionParams,
        native_id=told.message.id,
        normalizer=VERSION,
        conversation=told.where,
        message=told.scope.ours(target),
        sender=told.sender,
        emoji=emoji,
        at=told.at,
    )


def _activity(told: Told, method: str) -> Event:
    return build.event(
        told.scope.raw,
        method,
        ActivityParams,
        native_id=told.message.id,
        normalizer=VERSION,
        conversation=told.where,
        sender=told.sender,
        at=told.at,
    )


def _changed(scope: Scope, message: t.Message, system: System) -> Event:
    """Tell that a person has another number or BSUID now: the old address first, for that is the one we know."""
    old = system.customer or message.sender
    new = system.wa_id or system.new_wa_id
    named = (
        (TEL, f"+{old}" if old else None),
        (BSUID, system.previous_user_id),
        (TEL, f"+{new}" if new else None),
        (BSUID, system.user_id),
    )
    addresses = [Address(scheme=scheme, value=value) for scheme, value in named if value]
    if not addresses:
        raise MalformedPayload("nobody is named - at `$.system`")
    first, *also = dict.fromkeys(addresses)
    native = old or system.previous_user_id or new or system.user_id or ""
    return scope.contact(
        build.party(first.scheme, first.value, also=also),
        moment(message.timestamp),
        native=native,
        revision=message.id,
        where=build.conversation(scope.raw, native),
        reason=system.type,
    )


def _own_number(told: Told) -> Event | None:
    """Tell the number of a person without one that sends us its own contact card."""
    message, who = told.message, told.who
    phone = next((phone.wa_id or phone.phone for card in message.contacts for phone in card.phones), None)
    if told.echo or not phone or not (message.origin or "").startswith(ORIGIN):
        return None
    if who.phone is not None:
        return None
    person, number = who.identity(), f"+{phone.lstrip('+')}"
    party = msgspec.structs.replace(person, addresses=(*person.addresses, Address(scheme=TEL, value=number)))
    return told.scope.contact(party, told.at, native=who.native, revision=number, where=told.where, reason=ORIGIN)


def _context(scope: Scope, context: Context | None) -> dict[str, Any]:
    if context is None:
        return {}
    forwarded = context.forwarded or context.frequently_forwarded
    return {
        "reply_to": scope.quoted(context.id, context.sender) if context.id else None,
        "flags": Flags(forwarded=True) if forwarded else None,
    }


def _referral(found: Referral | None) -> From | None:
    if found is None:
        return None
    return From(
        source="post" if found.source_type == "post" else "ad",
        ref=found.ctwa_clid,
        ad_id=None if found.source_id is None else str(found.source_id),
        url=found.source_url,
    )


def _metadata(message: t.Message) -> dict[str, Any]:
    context = message.context
    extra = present(
        referral=present(**msgspec.structs.asdict(message.referral)) if message.referral else None,
        referred_product=msgspec.structs.asdict(context.referred_product)
        if context and context.referred_product
        else None,
        frequently_forwarded=(context.frequently_forwarded if context else False) or None,
        description=_description(message),
        form=message.interactive.nfm_reply.body if message.interactive and message.interactive.nfm_reply else None,
        catalog_id=str(message.order.catalog_id) if message.order else None,
        animated=(message.sticker.animated if message.sticker else False) or None,
        origin=message.origin,
        identity=bounded(message.identity) if message.identity else None,
    )
    return {SCHEME: extra} if extra else {}


def _description(message: t.Message) -> str | None:
    row = message.interactive.list_reply if message.interactive else None
    return row.description if row else None
