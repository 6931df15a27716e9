"""WeChat's events (`MsgType` ``event``): what a person did besides writing, and what became of what we sent.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_event_pushes.html
https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Custom_Menu_Push_Events.html
https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from normalizer import build
from normalizer import parts as p
from normalizer.codecs import wechat_menu
from normalizer.codecs.wechat_content import extras
from normalizer.codecs.wechat_frame import VERSION, Frame
from normalizer.codecs.wechat_xml import text
from normalizer.model import ActivityParams, MessageRef, Referral, StatusError, StatusParams
from normalizer.raw import Event
from normalizer.rpc import CONTACT_STOPPED, REJECTED

CONTACTS = {
    "subscribe": "contact.opted_in",
    "unsubscribe": "contact.opted_out",
    "SCAN": "conversation.referral",
    "user_enter_tempsession": "conversation.started",
    "kf_close_session": "conversation.ended",
}
"""Events about the person and not about a message."""

SESSIONS = {"kf_create_session": "session_accepted", "kf_switch_session": "session_transferred"}
"""What employees who answer in WeChat's own customer service did, in the words of `wecom-kf`."""

REPORTS = frozenset({"TEMPLATESENDJOBFINISH", "MASSSENDJOBFINISH"})
"""What became of messages we sent; their `MsgID` names the message."""

ANSWERABLE = frozenset({"subscribe", "SCAN", "CLICK", "scancode_push", "scancode_waitmsg"})
"""Events to which a person expects a reply, and that open a window for it of their own."""

WINDOW = timedelta(minutes=1)
"""https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html, since June 2023."""

SCENE = "qrscene_"
"""Prefix of the scene in the `EventKey` of somebody who subscribed by a QR code."""


def event_of(frame: Frame) -> Event:
    """Read an event; one nobody knows becomes a message with an `unsupported` part."""
    name = text(frame.fields, "Event")
    if name in CONTACTS:
        return _contact(frame, CONTACTS[name])
    if name in REPORTS:
        return _report(frame)
    if name in SESSIONS:
        args = {one: text(frame.fields, one) for one in _ACCOUNTS if text(frame.fields, one)}
        return frame.received([p.System(event=SESSIONS[name], args=args)], window=None, automatic=True)
    read = _READ.get(name)
    parts = [p.Unsupported(provider_type=f"event:{name}")] if read is None else read(frame.fields)
    window = WINDOW if name in ANSWERABLE else None
    return frame.received(parts, window=window, automatic=name not in _CHOSEN)


def _contact(frame: Frame, method: str) -> Event:
    scene = text(frame.fields, "EventKey").removeprefix(SCENE) or text(frame.fields, "SessionFrom")
    referral = (
        Referral(source="qr", ref=scene)
        if scene and method not in {"conversation.started", "conversation.ended"}
        else None
    )
    return build.event(
        frame.raw,
        method,
        ActivityParams,
        native_id=frame.native,
        scope=frame.user,
        normalizer=VERSION,
        conversation=frame.conversation,
        at=frame.sent_at or frame.raw.received_at,
        sender=frame.sender,
        referral=referral,
        reason="ended by an employee" if method == "conversation.ended" else None,
        metadata=extras(frame.fields),
    )


def _report(frame: Frame) -> Event:
    """Tell the fate of a template or mass message; the words are those of the documentation."""
    told = text(frame.fields, "Status")
    mass = text(frame.fields, "Event") == "MASSSENDJOBFINISH"
    fine = told.lower().replace(" ", "") in {"success", "sendsuccess"}
    status: Literal["sent", "delivered", "failed"] = ("sent" if mass else "delivered") if fine else "failed"
    code = CONTACT_STOPPED if "block" in told.lower() else REJECTED
    return build.event(
        frame.raw,
        "message.status",
        StatusParams,
        native_id=frame.native,
        scope=frame.user,
        revision=status,
        normalizer=VERSION,
        conversation=None if mass else frame.conversation,
        message=MessageRef(provider_id=text(frame.fields, "MsgID", "MsgId")),
        status=status,
        at=frame.sent_at or frame.raw.received_at,
        error=None if fine else StatusError(code=code, message=f"WeChat reports {told[:80]!r}"),
        metadata=extras(frame.fields),
    )


_ACCOUNTS = ("KfAccount", "FromKfAccount", "ToKfAccount")
_READ = {"CLICK": wechat_menu.click, "VIEW": wechat_menu.view, **wechat_menu.READ}
_CHOSEN = frozenset(_READ) - wechat_menu.UNASKED
"""What a person did on purpose, for somebody to answer; the rest is `auto_generated`."""
