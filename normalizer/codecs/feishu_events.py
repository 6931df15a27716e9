"""Feishu's events and callbacks of schema 2.0 (https://open.feishu.cn/document/server-docs/im-v1/message/events/receive)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from normalizer import build
from normalizer import parts as p
from normalizer.codecs import feishu_types as t
from normalizer.codecs.feishu_content import Content, Reader
from normalizer.codecs.feishu_emoji import emoji
from normalizer.codecs.feishu_frame import SERVICE, VERSION, Frame, moment
from normalizer.errors import MalformedPayload
from normalizer.model import DeletedParams, Flags, MessageRef, ReactionParams, StatusParams
from normalizer.raw import Decoded, Event, Ignored

FOREIGN = (
    "acs.", "apaas.", "application.", "approval", "attendance.", "calendar.", "compensation.", "contact.", "corehr.",
    "directory.", "docs.", "drive.", "ehr.", "elearning.", "helpdesk.", "hire.", "mail.", "mdm.", "meeting_room.",
    "minutes.", "moments.", "okr.", "payroll.", "performance.", "security_and_compliance.", "task.", "vc.",
    "wiki.",
)  # fmt: skip
"""Beginnings of the names of events that are no matter of a conversation."""

SILENT = frozenset({"url.preview.get", "im.message.bot_muted_v1"})
CHATS = frozenset({
    "im.chat.updated_v1", "im.chat.member.user.added_v1", "im.chat.member.user.deleted_v1",
    "im.chat.member.user.withdrawn_v1",
})  # fmt: skip
"""Events about a chat, handed on as a `system` part; an event we never heard of becomes `unsupported`."""


def events_of(frame: Frame, event: msgspec.Raw) -> Iterable[Decoded]:
    """Read the `event` of a delivery; raises `MalformedPayload`."""
    kind = frame.event_type
    read = _READ.get(kind)
    if read is not None:
        return read(frame, event)
    if kind in SILENT or kind.startswith(FOREIGN):
        return (Ignored(reason=kind.partition(".")[0][:40] + "_event"),)
    return (_other(frame, build.parse(event, dict[str, Any])),)


def _received(frame: Frame, event: msgspec.Raw) -> Iterable[Decoded]:
    told = build.parse(event, t.Received)
    sender, message = told.sender, told.message
    if sender.sender_type == "app":
        return (Ignored(reason="own_echo"),)
    reader = Reader(frame.raw.channel.id, message.message_id, message.mentions or ())
    parts = reader.parts(message.message_type, content_of(message.content))
    extra = {
        "message_type": message.message_type,
        "chat_type": message.chat_type,
        "root_id": message.root_id or None,
        "thread_id": message.thread_id or None,
        "mentions": [_mentioned(one) for one in message.mentions or ()] or None,
        "content": reader.kept,
    }
    return (
        frame.message(
            message.message_id,
            frame.person(sender.sender_id, tenant=sender.tenant_key),
            parts,
            frame.conversation(message.chat_id, message.chat_type),
            sent_at=moment(message.create_time),
            reply_to=frame.reference(message.parent_id) if message.parent_id else None,
            thread=(message.root_id or message.message_id) if message.thread_id else None,
            flags=Flags(forwarded=True) if message.message_type == "merge_forward" else None,
            metadata=extra,
        ),
    )


def content_of(content: str) -> Content:
    """Read the JSON in the string; raises `MalformedPayload`."""
    try:
        return msgspec.json.decode(content, type=Content)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        raise MalformedPayload("event.message.content is no JSON object") from None


def _mentioned(one: t.Mention) -> dict[str, Any]:
    ids = one.id or t.UserId()
    told = {"key": one.key, "name": one.name, "open_id": ids.open_id, "union_id": ids.union_id, "user_id": ids.user_id}
    return {name: value for name, value in told.items() if value}


def _read(frame: Frame, event: msgspec.Raw) -> Iterable[Decoded]:
    told = build.parse(event, t.Read)
    at, reader = moment(told.reader.read_time) or frame.at, told.reader.reader_id
    found = [
        build.event(
            frame.raw,
            "message.status",
            StatusParams,
            native_id=native,
            revision="read",
            normalizer=VERSION,
            message=MessageRef(provider_id=native),
            status="read",
            at=at,
            metadata=frame.metadata(reader=reader.open_id if reader else None),
        )
        for native in dict.fromkeys(told.message_id_list)
    ]
    return found or (Ignored(reason="nothing_read"),)


def _recalled(frame: Frame, event: msgspec.Raw) -> Iterable[Decoded]:
    told = build.parse(event, t.Recalled)
    return (
        build.event(
            frame.raw,
            "message.deleted",
            DeletedParams,
            native_id=told.message_id,
            revision="deleted",
            after=build.original(frame.raw, told.message_id),
            normalizer=VERSION,
            conversation=frame.conversation(told.chat_id),
            message=frame.reference(told.message_id),
            at=moment(told.recall_time) or frame.at,
            metadata=frame.metadata(recall_type=told.recall_type),
        ),
    )


def _reaction(frame: Frame, event: msgspec.Raw) -> Iterable[Decoded]:
    told = build.parse(event, t.Reaction)
    if told.operator_type == "app" and told.app_id in {None, "", frame.app}:
        return (Ignored(reason="own_echo"),)
    bot = told.operator_type == "app"
    who = t.UserId(open_id=told.app_id) if bot else told.user_id
    return (
        build.event(
            frame.raw,
            "reaction.added" if frame.event_type.endswith("created_v1") else "reaction.removed",
            ReactionParams,
            native_id=frame.event_id,
            normalizer=VERSION,
            message=frame.reference(told.message_id),
            sender=frame.person(who, role="bot" if bot else "customer"),
            emoji=emoji(told.reaction_type.emoji_type),
            at=moment(told.action_time) or frame.at,
            metadata=frame.metadata(emoji_type=told.reaction_type.emoji_type),
        ),
    )


def _chat(method: str, reason: str, kind: str = "group") -> Callable[[Frame, msgspec.Raw], list[Event]]:
    """Make the reader of an event by which a conversation begins or ends."""

    def read(frame: Frame, event: msgspec.Raw) -> list[Event]:
        told = build.parse(event, t.Chat)
        who = frame.person(told.operator_id, tenant=told.operator_tenant_key)
        where = frame.conversation(told.chat_id, kind)
        return [frame.activity(method, who, where, reason=reason, chat_name=told.name or None)]

    return read


def _menu(frame: Frame, event: msgspec.Raw) -> Iterable[Decoded]:
    told = build.parse(event, t.Menu)
    who = frame.person(told.operator.operator_id, name=told.operator.operator_name)
    where = _with(frame, told.operator.operator_id)
    part = p.ChoiceReply(item_id=told.event_key)
    return (frame.message(frame.event_id, who, [part], where, sent_at=moment(told.timestamp)),)


def _with(frame: Frame, user: t.UserId) -> Any:
    """Name the conversation with a person where Feishu does not name the chat."""
    native = user.open_id or user.union_id
    return frame.conversation(native) if native else None


def _pressed(frame: Frame, event: msgspec.Raw) -> Iterable[Decoded]:
    return pressed(frame, build.parse(event, t.Pressed))


def pressed(frame: Frame, told: t.Pressed) -> Iterable[Decoded]:
    """Read what somebody did on a card."""
    asked, chat = told.context.open_message_id or None, told.context.open_chat_id or None
    part = _answer(told.action, asked)
    return (
        frame.message(
            frame.event_id,
            frame.person(told.operator, tenant=told.operator.tenant_key),
            [part],
            frame.conversation(chat) if chat else _with(frame, told.operator),
            reply_to=MessageRef(provider_id=asked) if asked else None,
            metadata={
                "token": told.token,
                "tag": told.action.tag or None,
                "name": told.action.name,
                "value": build.bounded(told.action.value),
                "host": told.host,
            },
        ),
    )


def _answer(action: t.Action, asked: str | None) -> p.ChoiceReply | p.FormReply:
    """Say what was chosen; what our own cards carry names the item, what others carry is its own name."""
    if action.form_value is not None:
        return p.FormReply(form_id=action.name or asked or "", data=build.bounded(action.form_value))
    value = action.value
    own = value if isinstance(value, dict) else {}
    title = own.get("title")
    chosen = action.option if action.option is not None else action.input_value
    if chosen is None and action.options is not None:
        chosen = ",".join(action.options)
    if chosen is None and action.checked is not None:
        chosen = "true" if action.checked else "false"
    if chosen is None:
        chosen = own["id"] if isinstance(own.get("id"), str) else _as_text(value)
    return p.ChoiceReply(item_id=chosen, title=title if isinstance(title, str) else None, of=asked)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(build.bounded(value)).decode()


def _other(frame: Frame, fields: dict[str, Any]) -> Event:
    """Hand on an event that has none of its own; nobody wrote it."""
    kind, chat = frame.event_type, fields.get("chat_id")
    part: p.System | p.Unsupported = p.Unsupported(provider_type=kind)
    if kind in CHATS:
        part = p.System(
            event=kind, args=build.bounded({name: one for name, one in fields.items() if name != "chat_id"})
        )
    where = frame.conversation(chat, "group") if isinstance(chat, str) and chat else None
    return frame.message(frame.event_id, SERVICE, [part], where, flags=Flags(auto_generated=True))


_READ: dict[str, Callable[[Frame, msgspec.Raw], Iterable[Decoded]]] = {
    "im.message.receive_v1": _received,
    "im.message.message_read_v1": _read,
    "im.message.recalled_v1": _recalled,
    "im.message.reaction.created_v1": _reaction,
    "im.message.reaction.deleted_v1": _reaction,
    "im.chat.member.bot.added_v1": _chat("conversation.started", "added"),
    "im.chat.member.bot.deleted_v1": _chat("conversation.ended", "removed"),
    "im.chat.disbanded_v1": _chat("conversation.ended", "disbanded"),
    "im.chat.access_event.bot_p2p_chat_entered_v1": _chat("conversation.started", "entered", "p2p"),
    "application.bot.menu_v6": _menu,
    "card.action.trigger": _pressed,
}
