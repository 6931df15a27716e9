"""WeChat's events (`MsgType` ``event``): what a person did besides writing, and what became of what we sent.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_event_pushes.html
https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Custom_Menu_Push_Events.html
https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html
https://developers.weixin.qq.com/doc/service/guide/product/subscription_messages/push.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from normalizer import build
from normalizer import parts as p
from normalizer.codecs import wechat_menu
from normalizer.codecs.wechat_content import extras
from normalizer.codecs.wechat_frame import VERSION, Frame
from normalizer.codecs.wechat_xml import Fields, nested, text
from normalizer.model import ActivityParams, Conversation, MessageRef, Referral, StatusError, StatusParams
from normalizer.raw import Event
from normalizer.rpc import CONTACT_STOPPED, REJECTED

Status = Literal["sent", "delivered", "failed"]
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

SUBSCRIPTIONS = frozenset({"subscribe_msg_popup_event", "subscribe_msg_change_event"})
"""Which notifications a person wants, one template after the other; of one only, the list is left out in JSON."""

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
    if name in SUBSCRIPTIONS:
        return frame.received(_templates(frame.fields, name), window=None, automatic=True)
    if name == "subscribe_msg_sent_event":
        return _notified(frame)
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


def _listed(fields: Fields, *places: str) -> list[Fields]:
    """Return the items of a list, which XML has one level deeper than JSON."""
    inside = next((nested(fields, one) for one in places if nested(fields, one)), fields)
    found = inside.get("List")
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _templates(fields: Fields, name: str) -> list[p.AnyPart]:
    told = _listed(fields, "SubscribeMsgPopupEvent", "SubscribeMsgChangeEvent")
    parts: list[p.AnyPart] = [
        p.System(
            event=f"notifications_{text(one, 'SubscribeStatusString') or 'changed'}",
            args={key: text(one, key) for key in ("TemplateId", "PopupScene") if text(one, key)},
        )
        for one in told
    ]
    return parts or [p.Unsupported(provider_type=f"event:{name}")]


def _notified(frame: Frame) -> Event:
    """Tell the fate of a notification somebody subscribed to; two may be told of one person in the same second."""
    told = next(iter(_listed(frame.fields, "SubscribeMsgSentEvent")), {})
    return _status(
        frame,
        text(told, "MsgID", "MsgId"),
        "sent" if text(told, "ErrorCode") == "0" else "failed",
        text(told, "ErrorStatus") or text(told, "ErrorCode"),
        frame.conversation,
    )


def _report(frame: Frame) -> Event:
    """Tell the fate of a template or mass message; the words are those of the documentation."""
    told = text(frame.fields, "Status")
    mass = text(frame.fields, "Event") == "MASSSENDJOBFINISH"
    fine = told.lower().replace(" ", "") in {"success", "sendsuccess"}
    status: Status = ("sent" if mass else "delivered") if fine else "failed"
    return _status(frame, text(frame.fields, "MsgID", "MsgId"), status, told, None if mass else frame.conversation)


def _status(frame: Frame, native: str, status: Status, told: str, where: Conversation | None) -> Event:
    code = CONTACT_STOPPED if "block" in told.lower() else REJECTED
    return build.event(
        frame.raw,
        "message.status",
        StatusParams,
        native_id=frame.native if native in frame.native else f"{frame.native}:{native}",
        scope=frame.user,
        revision=status,
        normalizer=VERSION,
        conversation=where,
        message=MessageRef(provider_id=native),
        status=status,
        at=frame.sent_at or frame.raw.received_at,
        error=None if status != "failed" else StatusError(code=code, message=f"WeChat reports {told[:80]!r}"),
        metadata=extras(frame.fields),
    )


_ACCOUNTS = ("KfAccount", "FromKfAccount", "ToKfAccount")
_READ = {"CLICK": wechat_menu.click, "VIEW": wechat_menu.view, **wechat_menu.READ}
_CHOSEN = frozenset(_READ) - wechat_menu.UNASKED
"""What a person did on purpose, for somebody to answer; the rest is `auto_generated`."""
