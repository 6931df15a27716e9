"""Feishu's objects as far as they are read (https://open.feishu.cn/document/server-docs/im-v1/message/events/receive).

Fields that are read are typed, so that a wrong type is noticed; all others are ignored here.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw, Struct

Id = Annotated[str, Meta(min_length=1, max_length=255)]
Word = Annotated[str, Meta(max_length=255)]
Digits = Annotated[str, Meta(pattern=r"^[0-9]{0,16}(\.[0-9]{1,9})?$")]
"""A time, in seconds, milliseconds or microseconds; which of them, its length tells."""


NOTHING = Raw(b"")


class Wired(Struct, frozen=True, gc=False):
    """Base: unknown fields are ignored."""


class Header(Wired, frozen=True):
    """Of an event or callback of schema 2.0."""

    event_id: Id
    event_type: Id
    create_time: Digits = ""
    tenant_key: Word = ""
    app_id: Word = ""


class Envelope(Struct, frozen=True):
    """A delivery of either schema; `uuid`, `ts`, `type`: of schema 1.0, or the handshake; `action`: of `Card`."""

    schema: str = ""
    header: Header | None = None
    event: Raw = NOTHING
    action: Raw = NOTHING
    type: str = ""
    uuid: Word = ""
    ts: Digits = ""
    encrypt: str | None = None


class UserId(Wired, frozen=True):
    """One person: in this app, among the apps of one developer, and in the tenant."""

    open_id: Word | None = None
    union_id: Word | None = None
    user_id: Word | None = None


class Sender(Wired, frozen=True):
    """Who wrote a message."""

    sender_id: UserId | None = None
    sender_type: str = "user"
    tenant_key: Word | None = None


class Mention(Wired, frozen=True):
    """Somebody the text speaks to; `key` stands for the name in it."""

    key: str
    id: UserId | None = None
    name: str = ""


class Message(Wired, frozen=True):
    """https://open.feishu.cn/document/server-docs/im-v1/message/events/receive; `content` is JSON in a string."""

    message_id: Id
    chat_id: Id
    message_type: Id
    content: str = ""
    create_time: Digits = ""
    chat_type: str | None = None
    root_id: Word | None = None
    parent_id: Word | None = None
    thread_id: Word | None = None
    mentions: tuple[Mention, ...] | None = None


class Received(Wired, frozen=True):
    """`im.message.receive_v1`."""

    sender: Sender
    message: Message


class Reader(Wired, frozen=True):
    """Who read, and when."""

    reader_id: UserId | None = None
    read_time: Digits = ""
    tenant_key: Word | None = None


class Read(Wired, frozen=True):
    """`im.message.message_read_v1`."""

    reader: Reader
    message_id_list: tuple[Id, ...]


class Recalled(Wired, frozen=True):
    """`im.message.recalled_v1`; `recall_type` says whose decision it was."""

    message_id: Id
    chat_id: Id
    recall_time: Digits = ""
    recall_type: str | None = None


class Emoji(Wired, frozen=True):
    """A reaction's name."""

    emoji_type: Id


class Reaction(Wired, frozen=True):
    """`im.message.reaction.created_v1` and `.deleted_v1`."""

    message_id: Id
    reaction_type: Emoji
    operator_type: str = "user"
    user_id: UserId | None = None
    app_id: Word | None = None
    action_time: Digits = ""


class Chat(Wired, frozen=True):
    """What the events about a chat and its members have."""

    chat_id: Id
    operator_id: UserId | None = None
    operator_tenant_key: Word | None = None
    name: str | None = None


class MenuUser(Wired, frozen=True):
    """Who chose from the menu."""

    operator_id: UserId
    operator_name: str | None = None


class Menu(Wired, frozen=True):
    """`application.bot.menu_v6`."""

    operator: MenuUser
    event_key: Id
    timestamp: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class Operator(UserId, frozen=True):
    """Who pressed something on a card."""

    tenant_key: Word | None = None


class Action(Struct, frozen=True):
    """What was pressed, chosen or filled in."""

    value: Any = None
    tag: str = ""
    name: str | None = None
    option: str | None = None
    options: tuple[str, ...] | None = None
    checked: bool | None = None
    input_value: str | None = None
    form_value: dict[str, Any] | None = None


class Place(Wired, frozen=True):
    """Where the card is."""

    open_message_id: Word | None = None
    open_chat_id: Word | None = None


class Pressed(Struct, frozen=True):
    """`card.action.trigger`."""

    operator: Operator
    action: Action
    token: str | None = None
    host: str | None = None
    context: Place = Place()


class Card(Operator, frozen=True, kw_only=True):
    """The older callback of a card, `card.action.trigger_v1`, which has no envelope.

    https://open.larksuite.com/document/ukTMukTMukTM/uYzM3QjL2MzN04iNzcDN/configuring-card-callbacks/card-callback-structure
    """

    action: Action
    token: str | None = None
    open_message_id: Word | None = None
    open_chat_id: Word | None = None


class Old(Struct, frozen=True):
    """The `event` of schema 1.0 (https://open.feishu.cn/document/ukTMukTMukTM/uMTNxYjLzUTM24yM1EjN)."""

    type: Id
    tenant_key: Word = ""
    app_id: Word = ""
    open_id: Word | None = None
    union_id: Word | None = None
    employee_id: Word | None = None
    user_open_id: Word | None = None
    open_chat_id: Word | None = None
    chat_id: Word | None = None
    chat_type: str | None = None
    open_message_id: Word | None = None
    open_message_ids: tuple[Id, ...] = ()
    msg_type: str = ""
    root_id: Word | None = None
    parent_id: Word | None = None
    text: str | None = None
    title: str | None = None
    image_key: Word | None = None
    image_keys: tuple[Id, ...] = ()
    file_key: Word | None = None
    user: UserId | None = None
    operator: UserId | None = None
