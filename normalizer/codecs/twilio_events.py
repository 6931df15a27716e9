"""From one delivery of Twilio's to events: messages, statuses, opt-outs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from normalizer import build, ids
from normalizer.codecs.twilio_content import Fields, is_content, parts_of, referral
from normalizer.codecs.twilio_errors import status_error
from normalizer.errors import MalformedPayload
from normalizer.model import ActivityParams, Address, Flags, MessageRef, Party, ReplyWindow, StatusParams
from normalizer.raw import Decoded, Event, Ignored, RawEvent

VERSION, SCHEME, TEL, WHATSAPP = "twilio/1", "twilio", "tel", "whatsapp"
WINDOW = timedelta(hours=24)
"""Of WhatsApp (https://www.twilio.com/docs/whatsapp/key-concepts#24-hour-window)."""

Status = Literal["queued", "sent", "delivered", "read", "failed", "expired"]
STATUSES: dict[str, Status] = {
    "accepted": "queued",
    "scheduled": "queued",
    "queued": "queued",
    "sending": "queued",
    "sent": "sent",
    "delivered": "delivered",
    "partially_delivered": "delivered",
    "read": "read",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
}
"""https://www.twilio.com/docs/messaging/api/message-resource#message-status-values."""

INBOUND = frozenset({"", "received", "receiving"})
OPT_OUTS = {"STOP": "contact.opted_out", "START": "contact.opted_in"}
"""https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out; HELP is no more than a message."""

SAID = frozenset({
    "MessageSid", "SmsSid", "SmsMessageSid", "AccountSid", "ApiVersion", "From", "To", "SmsStatus", "MessageStatus",
    "ProfileName", "WaId", "OptOutType", "OriginalRepliedMessageSid", "OriginalRepliedMessageSender", "Forwarded",
    "FrequentlyForwarded", "ReferralSourceUrl", "ReferralSourceId", "ReferralCtwaClid", "ReferralNumMedia", "ErrorCode",
    "EventName", "Timestamp",
})  # fmt: skip
"""Parameters that are said elsewhere in the event; all others go into `metadata.twilio`."""


class Frame(Struct, frozen=True):
    """What every delivery has.

    Attributes:
        sid: of the message.
        them: the other side's address, ``+49…`` or ``whatsapp:+49…``.
        us: ours.
    """

    raw: RawEvent
    fields: Fields
    sid: str
    them: str
    us: str

    @property
    def metadata(self) -> dict[str, Any]:
        """Collect what only Twilio has."""
        told = {
            name: value for name, value in self.fields.items() if name not in SAID and not is_content(name) and value
        }
        return {SCHEME: told} if told else {}


def events_of(raw: RawEvent, fields: Fields, passive_secs: float) -> Iterator[Decoded]:
    """Read a delivery; raises `MalformedPayload`."""
    sid, status = _sid(fields), _status(fields)
    inbound = status in INBOUND
    them, us = (fields.get(name, "") for name in (("From", "To") if inbound else ("To", "From")))
    if not sid or not them:
        raise MalformedPayload("`MessageSid`, `From` and `To` are needed, and one is missing")
    frame = Frame(raw, fields, sid, them, us)
    if not inbound:
        yield _report(frame, status)
        return
    yield _message(frame, passive_secs)
    method = OPT_OUTS.get(fields.get("OptOutType", "").upper())
    if method is not None:
        yield _opted(frame, method)


def answerable(fields: Fields) -> tuple[str, str] | None:
    """Say who wrote, and the id of the message; None if it is nothing to answer."""
    them, sid = fields.get("From", ""), _sid(fields)
    return (them, sid) if them and sid and _status(fields) in INBOUND else None


def _sid(fields: Fields) -> str:
    return fields.get("MessageSid") or fields.get("SmsSid") or ""


def _status(fields: Fields) -> str:
    return (fields.get("MessageStatus") or fields.get("SmsStatus") or "").lower()


def person(address: str, *, name: str | None = None, role: build.Role = "customer", wa_id: str | None = None) -> Party:
    """Describe somebody: a phone number is the same contact by SMS, by WhatsApp and on other channels."""
    scheme, colon, value = address.partition(":")
    if not colon:
        return build.party(TEL, address, name=name, role=role)
    if not value.startswith("+"):
        return build.party(scheme, value, name=name, role=role)
    also = [Address(scheme=WHATSAPP, value=wa_id)] if scheme == WHATSAPP and wa_id else []
    return build.party(TEL, value, name=name, role=role, also=also)


def message_id(raw: RawEvent, sid: str) -> str:
    """Derive our id of a message."""
    return ids.message_id(raw.channel.id, "", sid)


def _message(frame: Frame, passive_secs: float) -> Event:
    raw, fields = frame.raw, frame.fields
    replied = fields.get("OriginalRepliedMessageSid")
    forwarded = "true" in {fields.get("Forwarded"), fields.get("FrequentlyForwarded")}
    message = build.message(
        raw,
        native_id=frame.sid,
        sender=person(frame.them, name=fields.get("ProfileName"), wa_id=fields.get("WaId")),
        parts=parts_of(fields, raw.channel.id, frame.sid),
        to=(person(frame.us, name=raw.channel.account, role="bot"),) if frame.us else (),
        sent_at=_moment(fields),
        reply_to=MessageRef(id=message_id(raw, replied), provider_id=replied) if replied else None,
        referral=referral(fields),
        flags=Flags(forwarded=True) if forwarded else None,
        reply_window=_window(frame, passive_secs),
    )
    where = build.conversation(raw, frame.them)
    return build.received(raw, message, where, normalizer=VERSION, metadata=frame.metadata)


def _window(frame: Frame, passive_secs: float) -> ReplyWindow | None:
    until = frame.raw.received_at + WINDOW if frame.them.startswith(f"{WHATSAPP}:") else None
    if passive_secs:
        deadline = frame.raw.received_at + timedelta(seconds=passive_secs)
        return ReplyWindow(until=until, mode="passive", passive_deadline=deadline)
    return None if until is None else ReplyWindow(until=until)


def _moment(fields: Fields) -> datetime | None:
    """Read the time of an event of Event Streams; forms have none."""
    try:
        found = datetime.fromisoformat(fields.get("Timestamp", ""))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _opted(frame: Frame, method: str) -> Event:
    return build.event(
        frame.raw,
        method,
        ActivityParams,
        native_id=frame.sid,
        normalizer=VERSION,
        conversation=build.conversation(frame.raw, frame.them),
        sender=person(frame.them, name=frame.fields.get("ProfileName")),
        at=_moment(frame.fields) or frame.raw.received_at,
        reason=frame.fields.get("Body") or None,
    )


def _report(frame: Frame, told: str) -> Event | Ignored:
    status = STATUSES.get(told)
    if status is None:
        return Ignored(reason="unknown_status")
    code = frame.fields.get("ErrorCode")
    words = frame.fields.get("ChannelStatusMessage") or frame.fields.get("ErrorMessage") or f"Twilio says {told}"
    return build.event(
        frame.raw,
        "message.status",
        StatusParams,
        native_id=frame.sid,
        revision=status,
        normalizer=VERSION,
        conversation=build.conversation(frame.raw, frame.them),
        message=MessageRef(provider_id=frame.sid),
        status=status,
        at=_moment(frame.fields) or frame.raw.received_at,
        error=status_error(code, words) if status == "failed" else None,
        metadata=_detail(frame, told, code),
    )


def _detail(frame: Frame, told: str, code: str | None) -> dict[str, Any]:
    extra = {"MessageStatus": told, **({"ErrorCode": code} if code else {})}
    return {SCHEME: {**extra, **frame.metadata.get(SCHEME, {})}}
