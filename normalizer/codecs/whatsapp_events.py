"""What WhatsApp tells besides messages: statuses of ours, calls, preferences, errors, and fields nobody knows yet.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/status
https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/user_preferences
https://developers.facebook.com/documentation/business-messaging/whatsapp/calling/reference
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Raw

from normalizer import build, ids
from normalizer import parts as p
from normalizer.build import bounded
from normalizer.codecs import whatsapp_types as t
from normalizer.codecs.meta import moment, present
from normalizer.codecs.meta_errors import status_error
from normalizer.codecs.whatsapp_content_types import Error
from normalizer.codecs.whatsapp_scope import SCHEME, SERVICE, VERSION, Scope, Who
from normalizer.model import (
    ActivityParams,
    Conversation,
    DeletedParams,
    MessageParams,
    MessageRef,
    Party,
    StatusError,
    StatusParams,
)
from normalizer.raw import Event, Ignored, RawEvent

OURS = "msg_"
"""How our message ids begin; a sent message carries its id, and its statuses bring it back."""

STATUSES: dict[str, Literal["sent", "delivered", "read", "failed"]] = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "played": "read",  # a voice note
    "failed": "failed",
}
PREFERENCES = {"stop": "contact.opted_out", "resume": "contact.opted_in", "signup": "contact.opted_in"}
TEXT_MAX = 200

FIELDS = frozenset({
    "account_alerts", "account_review_update", "account_settings_update", "account_update", "automatic_events",
    "business_capability_update", "business_status_update", "business_username_update", "campaign_status_update",
    "consumer_profile", "flows", "group_lifecycle_update", "group_participants_update", "group_settings_update",
    "group_status_update", "history", "message_template_components_update", "message_template_quality_update",
    "message_template_status_update", "messaging_handovers", "partner_solutions", "payment_configuration_update",
    "phone_number_name_update", "phone_number_quality_update", "security", "smb_app_state_sync", "standby",
    "template_category_update", "template_correct_category_detection", "tracking_events",
})  # fmt: skip
"""Webhook fields about the account, templates and groups, which are no messages; one nobody knows is `unsupported`."""


def status(scope: Scope, found: t.Status) -> Iterator[Event | Ignored]:
    """Tell what became of a message of ours."""
    at, word = moment(found.timestamp), found.status.lower()
    if word == "deleted":
        yield _deleted(scope, found)
        return
    if word == "warning":  # of a product that is not in the catalogue; the message goes out all the same
        yield Ignored(reason="status_warning")
        return
    if word not in STATUSES:
        yield other(scope.raw, f"status.{word}"[:TEXT_MAX], f"{found.id}:{word}:{found.timestamp}")
        return
    error = next(iter(found.errors), None)
    ours = found.biz_opaque_callback_data or ""
    part = found.recipient_participant_id or ""
    yield build.event(
        scope.raw,
        "message.status",
        StatusParams,
        native_id=found.id,
        scope=part,
        revision=f"{word}:{found.timestamp}",
        normalizer=VERSION,
        conversation=_where(scope, found),
        message=MessageRef(id=ours if ours.startswith(OURS) else None, provider_id=found.id),
        status=STATUSES[word],
        at=at,
        error=_error(error) if word == "failed" else None,
        metadata=_metadata(found, word),
    )


def _where(scope: Scope, found: t.Status) -> Conversation | None:
    if found.recipient_type == "group" and found.recipient_id:
        return scope.where(Who(None, None), found.recipient_id)
    native = found.recipient_id or found.recipient_user_id
    return build.conversation(scope.raw, native) if native else None


def _error(error: Error | None) -> StatusError:
    return status_error(0, "the provider gave no reason") if error is None else status_error(error.code, _text(error))


def _text(error: Error) -> str:
    return " ".join(error.text.split())[:TEXT_MAX]


def _metadata(found: t.Status, word: str) -> dict[str, Any]:
    extra = present(
        status=word if word != STATUSES[word] else None,
        recipient_user_id=found.recipient_user_id,
        recipient_participant_id=found.recipient_participant_id,
        biz_opaque_callback_data=found.biz_opaque_callback_data,
        conversation=bounded(found.conversation) if found.conversation else None,
        pricing=bounded(found.pricing) if found.pricing else None,
        errors=[present(code=one.code, title=one.title, details=_text(one)) for one in found.errors],
    )
    return {SCHEME: extra} if extra else {}


def _deleted(scope: Scope, found: t.Status) -> Event:
    return build.event(
        scope.raw,
        "message.deleted",
        DeletedParams,
        native_id=found.id,
        revision="deleted",
        after=build.original(scope.raw, found.id),
        normalizer=VERSION,
        conversation=_where(scope, found),
        message=scope.theirs(found.id),
        at=moment(found.timestamp),
    )


def call(scope: Scope, found: t.Call) -> Iterator[Event]:
    """Tell that somebody called, as content this kind cannot take; the person may be answered by a message."""
    outwards = (found.direction or "").upper() == "BUSINESS_INITIATED"
    phone, bsuid = (found.to, found.to_user_id) if outwards else (found.sender, found.from_user_id)
    at = moment(found.timestamp)
    who = scope.who(None if phone == scope.number else phone, bsuid)
    message = build.message(
        scope.raw,
        native_id=f"{found.id}:{found.event}",
        sender=who.party(),
        parts=[p.Unsupported(provider_type=f"call.{found.event}")],
        sent_at=at,
        to=(scope.us,),
    )
    extra = present(call_id=found.id, event=found.event, direction=found.direction)
    yield build.received(scope.raw, message, scope.where(who), normalizer=VERSION, metadata={SCHEME: extra})


def preference(scope: Scope, found: t.Preference) -> Iterator[Event]:
    """Tell that a person wants no more marketing messages, or wants them again."""
    who, word = scope.who(found.wa_id, found.user_id), found.value.lower()
    at, revision = moment(found.timestamp), f"{found.category}:{word}:{found.timestamp}"
    method = PREFERENCES.get(word)
    if method is None:
        yield other(scope.raw, "user_preferences", f"{who.native}:{revision}", who.party(), scope.where(who))
        return
    yield build.event(
        scope.raw,
        method,
        ActivityParams,
        native_id=who.native,
        scope="preference",
        revision=revision,
        normalizer=VERSION,
        conversation=scope.where(who),
        sender=who.party(),
        at=at,
        reason=found.category,
        metadata={SCHEME: present(detail=found.detail, signup_id=found.signup_id)},
    )


def fault(scope: Scope, found: Error, piece: Raw, time: int | None) -> Iterator[Event]:
    """Hand on an error that is about no message: of the app, the account, or the system."""
    args = present(code=found.code, title=found.title, details=_text(found))
    native = f"error:{ids.digest(bytes(piece).hex(), str(time))}"
    yield _message(scope.raw, native, p.System(event="error", args=args), SERVICE, None)


def other(raw: RawEvent, kind: str, native: str, sender: Party = SERVICE, where: Conversation | None = None) -> Event:
    """Hand on what this codec does not know."""
    return _message(raw, f"{kind}:{native}", p.Unsupported(provider_type=kind), sender, where)


def _message(raw: RawEvent, native: str, part: p.AnyPart, sender: Party, where: Conversation | None) -> Event:
    message = build.message(raw, native_id=native, sender=sender, parts=[part])
    return build.event(
        raw,
        "message.received",
        MessageParams,
        native_id=native,
        normalizer=VERSION,
        message=message,
        conversation=where,
    )
