"""Telegram's objects as far as they are read (https://core.telegram.org/bots/api, Bot API 10.0).

Fields that are read are typed, so that a wrong type is noticed; all others are ignored here. Objects that are only
handed on (entities, forward origin) stay as they came.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Unix = Annotated[int, Meta(ge=0, le=32_503_680_000, description="seconds; up to the year 3000")]
Period = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Id = str | Int
Blob = dict[str, Any]


class Wired(Struct, frozen=True, gc=False):
    """Base: unknown fields are ignored."""


class User(Wired, frozen=True):
    """https://core.telegram.org/bots/api#user."""

    id: Int
    first_name: str = ""
    last_name: str = ""
    username: str | None = None
    language_code: str | None = None
    is_bot: bool = False


class Chat(Wired, frozen=True):
    """https://core.telegram.org/bots/api#chat; without `type` (old examples) a positive id is a person."""

    id: Int
    type: str | None = None
    title: str | None = None
    username: str | None = None
    first_name: str = ""
    last_name: str = ""

    @property
    def private(self) -> bool:
        """Tell a chat with one person from groups and channels."""
        return self.type == "private" if self.type is not None else self.id > 0


class File(Wired, frozen=True):
    """Any of PhotoSize, Audio, Document, Video, Animation, Voice, VideoNote, Sticker: they share their field names.

    Attributes:
        length: diameter of a video note.
    """

    file_id: str
    file_unique_id: str | None = None
    file_name: str | None = None
    title: str | None = None
    mime_type: str | None = None
    file_size: Count | None = None
    width: Count | None = None
    height: Count | None = None
    length: Count | None = None
    duration: Count | None = None
    emoji: str | None = None
    is_animated: bool = False
    is_video: bool = False


class Location(Wired, frozen=True):
    """https://core.telegram.org/bots/api#location."""

    latitude: Latitude
    longitude: Longitude
    live_period: Period | None = None


class Venue(Wired, frozen=True):
    """https://core.telegram.org/bots/api#venue."""

    location: Location
    title: str
    address: str = ""


class Contact(Wired, frozen=True):
    """https://core.telegram.org/bots/api#contact."""

    phone_number: str
    first_name: str
    last_name: str = ""
    user_id: Int | None = None
    vcard: str | None = None


class Dice(Wired, frozen=True):
    """https://core.telegram.org/bots/api#dice."""

    emoji: str
    value: Int


class PollOption(Wired, frozen=True):
    """https://core.telegram.org/bots/api#polloption."""

    text: str


class Poll(Wired, frozen=True):
    """https://core.telegram.org/bots/api#poll."""

    id: str
    question: str
    options: tuple[PollOption, ...] = ()


class WebAppData(Wired, frozen=True):
    """https://core.telegram.org/bots/api#webappdata."""

    data: str
    button_text: str = ""


class Button(Wired, frozen=True):
    """https://core.telegram.org/bots/api#inlinekeyboardbutton."""

    text: str
    callback_data: str | None = None


class Keyboard(Wired, frozen=True):
    """https://core.telegram.org/bots/api#inlinekeyboardmarkup."""

    inline_keyboard: tuple[tuple[Button, ...], ...] = ()


class Quoted(Wired, frozen=True):
    """The message that is answered; of it only the address is read."""

    message_id: Int
    chat: Chat


class Message(Wired, frozen=True):
    """https://core.telegram.org/bots/api#message."""

    message_id: Int
    chat: Chat
    date: Unix
    sender: User | None = field(name="from", default=None)
    sender_chat: Chat | None = None
    sender_business_bot: User | None = None
    business_connection_id: str | None = None
    message_thread_id: Int | None = None
    is_topic_message: bool = False
    edit_date: Unix | None = None
    reply_to_message: Quoted | None = None
    reply_markup: Keyboard | None = None
    media_group_id: str | None = None
    has_media_spoiler: bool = False
    is_from_offline: bool = False
    is_automatic_forward: bool = False
    forward_origin: Blob | None = None
    forward_date: Unix | None = None
    external_reply: Blob | None = None
    quote: Blob | None = None
    via_bot: User | None = None
    text: str | None = None
    entities: tuple[Blob, ...] = ()
    caption: str | None = None
    caption_entities: tuple[Blob, ...] = ()
    photo: tuple[File, ...] = ()
    video: File | None = None
    animation: File | None = None
    audio: File | None = None
    voice: File | None = None
    video_note: File | None = None
    document: File | None = None
    sticker: File | None = None
    location: Location | None = None
    venue: Venue | None = None
    contact: Contact | None = None
    dice: Dice | None = None
    poll: Poll | None = None
    web_app_data: WebAppData | None = None


class CallbackQuery(Wired, frozen=True):
    """https://core.telegram.org/bots/api#callbackquery."""

    id: Id
    sender: User = field(name="from")
    message: Message | None = None
    inline_message_id: str | None = None
    data: str | None = None
    game_short_name: str | None = None


class ReactionType(Wired, frozen=True):
    """https://core.telegram.org/bots/api#reactiontype."""

    type: str
    emoji: str | None = None
    custom_emoji_id: str | None = None


class MessageReaction(Wired, frozen=True):
    """https://core.telegram.org/bots/api#messagereactionupdated."""

    chat: Chat
    message_id: Int
    date: Unix
    old_reaction: tuple[ReactionType, ...]
    new_reaction: tuple[ReactionType, ...]
    user: User | None = None
    actor_chat: Chat | None = None


class Member(Wired, frozen=True):
    """https://core.telegram.org/bots/api#chatmember."""

    status: str


class MemberUpdate(Wired, frozen=True):
    """https://core.telegram.org/bots/api#chatmemberupdated."""

    chat: Chat
    sender: User = field(name="from")
    date: Unix
    old_chat_member: Member
    new_chat_member: Member


class DeletedMessages(Wired, frozen=True):
    """https://core.telegram.org/bots/api#businessmessagesdeleted."""

    business_connection_id: str
    chat: Chat
    message_ids: tuple[Int, ...]


class Update(Wired, frozen=True):
    """https://core.telegram.org/bots/api#update; the kinds not named here are read as they come."""

    update_id: Int
    message: Message | None = None
    edited_message: Message | None = None
    channel_post: Message | None = None
    edited_channel_post: Message | None = None
    business_message: Message | None = None
    edited_business_message: Message | None = None
    guest_message: Message | None = None
    callback_query: CallbackQuery | None = None
    message_reaction: MessageReaction | None = None
    my_chat_member: MemberUpdate | None = None
    deleted_business_messages: DeletedMessages | None = None
