"""Events of WeCom customer service: sessions, failed messages, recalls, employees.

https://developer.work.weixin.qq.com/document/path/94670
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs.wecom_kf_frame import VERSION, Frame, nested, text
from normalizer.errors import MalformedPayload
from normalizer.model import ActivityParams, DeletedParams, MessageRef, Referral, StatusError, StatusParams
from normalizer.raw import Event
from normalizer.rpc import CONTACT_STOPPED, REJECTED, WINDOW_CLOSED

FAILURES = {
    "1": (REJECTED, "the customer-service account was deleted"),
    "2": (REJECTED, "the app was closed"),
    "4": (WINDOW_CLOSED, "the customer has not written within 48 hours"),
    "5": (WINDOW_CLOSED, "the session has ended"),
    "6": (WINDOW_CLOSED, "five messages were sent since the customer wrote"),
    "8": (REJECTED, "the corp is not verified"),
    "10": (CONTACT_STOPPED, "the customer refuses messages"),
    "11": (REJECTED, "no employee of the corp has logged in to WeCom"),
    "12": (REJECTED, "customer service takes no messages of this type"),
    "13": (REJECTED, "stopped for reasons of security"),
}
"""`fail_type` → what it is to us."""

CHANGES = {"1": "accepted", "2": "transferred", "3": "ended", "4": "reopened"}
"""`change_type` of a session, always the doing of an employee."""


def event_of(frame: Frame) -> Event:
    """Read an event; one nobody knows becomes a message with an `unsupported` part."""
    make = _READ.get(frame.event)
    if make is None:
        return frame.received([p.Unsupported(provider_type=f"event:{frame.event}")], automatic=True)
    return make(frame)


def _about(frame: Frame, method: str, **fields: Any) -> Event:
    return build.event(
        frame.raw,
        method,
        ActivityParams,
        native_id=frame.native,
        normalizer=VERSION,
        conversation=frame.conversation,
        at=frame.sent_at or frame.raw.received_at,
        metadata=frame.metadata,
        **{"sender": frame.sender, **fields},
    )


def _entered(frame: Frame) -> Event:
    content = frame.content
    ref = text(content, "scene_param") or text(content, "scene")
    source: Any = "post" if nested(content, "wechat_channels") else "shortlink"
    return _about(frame, "conversation.started", referral=Referral(source=source, ref=ref) if ref else None)


def _failed(frame: Frame) -> Event:
    native = _named(frame, "fail_msgid")
    code, words = FAILURES.get(text(frame.content, "fail_type"), (REJECTED, "WeCom gives no reason"))
    return build.event(
        frame.raw,
        "message.status",
        StatusParams,
        native_id=native,
        revision="failed",
        normalizer=VERSION,
        conversation=frame.conversation,
        message=MessageRef(provider_id=native),
        status="failed",
        at=frame.sent_at or frame.raw.received_at,
        error=StatusError(code=code, message=words),
        metadata=frame.metadata,
    )


def _session(frame: Frame) -> Event:
    change = CHANGES.get(text(frame.content, "change_type"), "changed")
    names = ("new_servicer_userid", "old_servicer_userid")
    frame.servicer = next((text(frame.content, name) for name in names if text(frame.content, name)), "")
    if change == "ended":
        return _about(frame, "conversation.ended", reason="ended by an employee")
    args = {name: text(frame.content, name) for name in names if text(frame.content, name)}
    return frame.received([p.System(event=f"session_{change}", args=args)], automatic=True)


def _recalled(frame: Frame) -> Event:
    native = _named(frame, "recall_msgid")
    return build.event(
        frame.raw,
        "message.deleted",
        DeletedParams,
        native_id=native,
        revision="deleted",
        after=build.original(frame.raw, native),
        normalizer=VERSION,
        conversation=frame.conversation,
        message=MessageRef(id=ids.message_id(frame.raw.channel.id, "", native), provider_id=native),
        at=frame.sent_at or frame.raw.received_at,
        by=frame.sender,
        metadata=frame.metadata,
    )


def _named(frame: Frame, name: str) -> str:
    native = text(frame.content, name)
    if not native:
        raise MalformedPayload(f"event.{name} is missing")
    return native


def _told(frame: Frame) -> Event:
    """Hand on what happened to an account or to an employee."""
    known = {"event_type", "open_kfid", "external_userid"}
    args = {name: value for name, value in frame.content.items() if name not in known}
    return frame.received([p.System(event=frame.event, args=args)], automatic=True)


_READ: dict[str, Callable[[Frame], Event]] = {
    "enter_session": _entered,
    "msg_send_fail": _failed,
    "session_status_change": _session,
    "user_recall_msg": _recalled,
    "servicer_recall_msg": _recalled,
    "servicer_status_change": _told,
    "reject_customer_msg_switch_change": _told,
}
