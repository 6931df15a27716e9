"""Slack's objects as far as they are read (https://docs.slack.dev/reference/events/message).

Fields that are read are typed, so that a wrong type is noticed; all others are ignored here.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

Ts = Annotated[str, Meta(pattern=r"^[0-9]{1,11}(\.[0-9]{1,6})?$")]
"""Seconds with six decimals; names a message within its channel."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
Id = Annotated[str, Meta(max_length=255)]
Blob = dict[str, Any]


class Wired(Struct, frozen=True, gc=False):
    """Base: unknown fields are ignored."""


class Edited(Wired, frozen=True):
    """When and by whom a message was edited."""

    ts: Ts
    user: Id | None = None


class BotProfile(Wired, frozen=True):
    """Who a bot is."""

    app_id: str | None = None
    name: str | None = None


class File(Wired, frozen=True):
    """https://docs.slack.dev/reference/objects/file-object."""

    id: Id
    name: str | None = None
    title: str | None = None
    mimetype: str | None = None
    size: Count | None = None
    mode: str | None = None
    subtype: str | None = None
    file_access: str | None = None
    is_external: bool = False
    url_private: str | None = None
    url_private_download: str | None = None
    permalink: str | None = None
    original_w: Count | None = None
    original_h: Count | None = None
    duration_ms: Count | None = None


class Attachment(Wired, frozen=True):
    """A secondary attachment (https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments)."""

    fallback: str | None = None
    text: str | None = None
    from_url: str | None = None
    is_share: bool = False


class Root(Wired, frozen=True):
    """The first message of a thread."""

    ts: Ts | None = None


class Message(Wired, frozen=True):
    """https://docs.slack.dev/reference/events/message.

    Attributes:
        user: who wrote it; a bot's messages may have `bot_id` only.
    """

    ts: Ts | None = None
    type: str = "message"
    subtype: str | None = None
    user: Id | None = None
    username: str | None = None
    bot_id: Id | None = None
    app_id: str | None = None
    bot_profile: BotProfile | None = None
    text: str | None = None
    thread_ts: Ts | None = None
    edited: Edited | None = None
    files: tuple[File, ...] | None = None
    attachments: tuple[Attachment, ...] | None = None
    team: str | None = None

    @property
    def app(self) -> str | None:
        """The app that posted it."""
        return self.app_id or (self.bot_profile.app_id if self.bot_profile else None)


class Item(Wired, frozen=True):
    """What a reaction belongs to."""

    type: str
    channel: Id | None = None
    ts: Ts | None = None


class Thread(Wired, frozen=True):
    """https://docs.slack.dev/reference/events/assistant_thread_started."""

    user_id: Id
    channel_id: Id
    thread_ts: Ts


class Named(Wired, frozen=True):
    """An object of which the id and the names are read."""

    id: Id | None = None
    name: str | None = None
    username: str | None = None
    team_id: str | None = None


class Head(Wired, frozen=True):
    """What every event has."""

    type: str
    event_ts: Ts | None = None


class MessageEvent(Message, frozen=True):
    """A `message` or `app_mention` event."""

    channel: Id = ""
    channel_type: str | None = None
    event_ts: Ts | None = None
    message: Message | None = None
    previous_message: Message | None = None
    deleted_ts: Ts | None = None


class ReactionEvent(Wired, frozen=True):
    """https://docs.slack.dev/reference/events/reaction_added."""

    reaction: Annotated[str, Meta(min_length=1, max_length=255)]
    item: Item
    event_ts: Ts
    user: Id | None = None


class MemberEvent(Wired, frozen=True):
    """https://docs.slack.dev/reference/events/member_joined_channel."""

    user: Id
    channel: Id
    event_ts: Ts | None = None
    channel_type: str | None = None
    inviter: str | None = None


class ImEvent(Wired, frozen=True):
    """https://docs.slack.dev/reference/events/im_created."""

    user: Id
    channel: Named
    event_ts: Ts | None = None


class ThreadEvent(Wired, frozen=True):
    """https://docs.slack.dev/reference/events/assistant_thread_started."""

    assistant_thread: Thread
    event_ts: Ts


class Authorization(Wired, frozen=True):
    """For whom the event was delivered."""

    user_id: str | None = None
    is_bot: bool = False


class Envelope(Wired, frozen=True):
    """https://docs.slack.dev/apis/events-api#callback-field."""

    type: str
    team_id: str | None = None
    context_team_id: str | None = None
    api_app_id: str | None = None
    event_id: str | None = None
    event_time: Count | None = None
    authorizations: tuple[Authorization, ...] | None = None

    @property
    def team(self) -> str:
        """The workspace through which we receive it, also where the channel is shared with others."""
        return self.context_team_id or self.team_id or ""

    @property
    def bot(self) -> str | None:
        """Our user, where Slack names it."""
        return next((one.user_id for one in self.authorizations or () if one.is_bot and one.user_id), None)
