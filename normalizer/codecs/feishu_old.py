"""Feishu's events of schema 1.0, and its older callback of cards, which older apps still receive.

https://open.feishu.cn/document/ukTMukTMukTM/uMTNxYjLzUTM24yM1EjN
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs import feishu_types as t
from normalizer.codecs.feishu_content import FILE, IMAGE, Reader
from normalizer.codecs.feishu_frame import SERVICE, VERSION, Frame
from normalizer.errors import MalformedPayload
from normalizer.model import Flags, MessageRef, StatusParams
from normalizer.parts import AnyPart
from normalizer.raw import Decoded, Ignored, RawEvent

CARD = "card.action.trigger_v1"
STARTED = {"p2p_chat_create": "entered", "add_bot": "added"}
ENDED = {"remove_bot": "removed", "chat_disband": "disbanded"}
CHATS = frozenset({"add_user_to_chat", "remove_user_from_chat", "revoke_add_user_from_chat"})
FOREIGN = frozenset({
    "app_open", "app_status_change", "app_ticket", "app_uninstall", "order_paid", "user_add", "user_update",
    "user_leave", "user_status_change", "dept_add", "dept_update", "dept_delete", "contact_scope_change",
    "approval_instance", "approval_task", "approval_cc", "leave_approval", "leave_approvalV2", "work_approval",
    "shift_approval", "remedy_approval", "trip_approval", "out_approval", "third_party_meeting_room_event_created",
    "third_party_meeting_room_event_updated", "third_party_meeting_room_event_deleted",
})  # fmt: skip
"""What is no matter of a conversation."""

_AT = re.compile(r"<at open_id=\"[^\"]*\">(.*?)</at>", re.DOTALL)


def events_of(frame: Frame, event: msgspec.Raw) -> Iterable[Decoded]:
    """Read the `event` of a delivery; raises `MalformedPayload`."""
    told, kind = build.parse(event, t.Old), frame.event_type
    chat = told.open_chat_id or told.chat_id or None
    if kind == "message":
        return (_message(frame, told, chat),)
    if kind == "message_read":
        return _read(frame, told) or (Ignored(reason="nothing_read"),)
    if kind in STARTED or kind in ENDED:
        method = "conversation.started" if kind in STARTED else "conversation.ended"
        where = frame.conversation(chat, "p2p" if kind == "p2p_chat_create" else "group") if chat else None
        who = frame.person(told.user or told.operator or _user(told))
        return (frame.activity(method, who, where, reason=STARTED.get(kind) or ENDED[kind]),)
    if kind in FOREIGN:
        return (Ignored(reason=kind[:40]),)
    fields = build.parse(event, dict[str, Any])
    args = {name: one for name, one in fields.items() if name not in {"type", "app_id", "chat_id", "tenant_key"}}
    known = p.System(event=kind, args=build.bounded(args))
    part: AnyPart = known if kind in CHATS else p.Unsupported(provider_type=kind)
    where = frame.conversation(chat, "group") if chat else None
    return (frame.message(frame.event_id, SERVICE, [part], where, flags=Flags(auto_generated=True)),)


def card(body: bytes) -> t.Pressed:
    """Read the older callback of a card as what the newer one says; raises `MalformedPayload`."""
    told = build.parse(body, t.Card)
    who = t.Operator(open_id=told.open_id, user_id=told.user_id, union_id=told.union_id, tenant_key=told.tenant_key)
    return t.Pressed(
        operator=who,
        action=told.action,
        token=told.token,
        context=t.Place(open_message_id=told.open_message_id, open_chat_id=told.open_chat_id),
    )


def card_frame(raw: RawEvent) -> Frame:
    """Name the press: it has no id of its own, but a token for updating the card, which is another each time."""
    told = build.parse(raw.body, t.Card)
    native = ids.digest(
        *(one or "" for one in (told.open_message_id, told.open_id, told.token)),
        msgspec.json.encode(told.action).decode(),
    )
    return Frame(raw, native, CARD, told.tenant_key or "", "", raw.received_at)


def _user(told: t.Old) -> t.UserId:
    return t.UserId(open_id=told.open_id or told.user_open_id, union_id=told.union_id, user_id=told.employee_id)


def _message(frame: Frame, told: t.Old, chat: str | None) -> Decoded:
    native = told.open_message_id
    if not native or not chat:
        raise MalformedPayload("event.open_message_id or event.open_chat_id is missing")
    return frame.message(
        native,
        frame.person(_user(told)),
        [*_parts(frame, told, native)] or [p.Unsupported(provider_type=told.msg_type or "message")],
        frame.conversation(chat, told.chat_type),
        reply_to=frame.reference(told.parent_id) if told.parent_id else None,
        flags=Flags(forwarded=True) if told.msg_type == "merge_forward" else None,
        metadata={"message_type": told.msg_type, "chat_type": told.chat_type, "root_id": told.root_id or None},
    )


def _parts(frame: Frame, told: t.Old, native: str) -> Iterable[AnyPart]:
    reader = Reader(frame.raw.channel.id, native, ())
    text = "\n".join(filter(None, (told.title, _AT.sub(r"\1", told.text or ""))))
    if text.strip():
        yield p.Text(body=text.strip())
    for key in (*((told.image_key,) if told.image_key else ()), *told.image_keys):
        yield p.Image(media=reader.media(IMAGE, key))
    if told.file_key:
        yield p.File(media=reader.media(FILE, told.file_key))


def _read(frame: Frame, told: t.Old) -> list[Decoded]:
    return [
        build.event(
            frame.raw,
            "message.status",
            StatusParams,
            native_id=native,
            revision="read",
            normalizer=VERSION,
            message=MessageRef(provider_id=native),
            status="read",
            at=frame.at,
            metadata=frame.metadata(reader=told.open_id),
        )
        for native in dict.fromkeys(told.open_message_ids)
    ]
