"""Discord's objects as far as they are read (https://docs.discord.com/developers/interactions/receiving-and-responding).

Fields that are read are typed, so that a wrong type is noticed; all others are ignored here.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

Snowflake = Annotated[str, Meta(pattern=r"^[0-9]{1,20}$")]
"""An id with a time in it (https://docs.discord.com/developers/reference#snowflakes)."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
Scalar = str | int | float | bool


class Wired(Struct, frozen=True, gc=False):
    """Base: unknown fields are ignored."""


class User(Wired, frozen=True):
    """https://docs.discord.com/developers/resources/user#user-object."""

    id: Snowflake
    username: str | None = None
    global_name: str | None = None
    bot: bool = False


class Member(Wired, frozen=True):
    """https://docs.discord.com/developers/resources/guild#guild-member-object."""

    user: User | None = None
    nick: str | None = None


class Channel(Wired, frozen=True):
    """https://docs.discord.com/developers/resources/channel#channel-object."""

    id: Snowflake | None = None
    type: int | None = None
    name: str | None = None
    parent_id: Snowflake | None = None


class Attachment(Wired, frozen=True):
    """https://docs.discord.com/developers/resources/message#attachment-object."""

    id: Snowflake
    url: str
    filename: str | None = None
    content_type: str | None = None
    description: str | None = None
    size: Count | None = None
    width: Count | None = None
    height: Count | None = None
    duration_secs: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    waveform: str | None = None


class Option(Wired, frozen=True):
    """A parameter of a command, or a subcommand with more of them."""

    name: str
    type: int
    value: Scalar | None = None
    options: tuple[Option, ...] = ()


class SelectOption(Wired, frozen=True):
    """An item of a menu, as it was asked."""

    value: str | None = None
    label: str | None = None


class Component(Wired, frozen=True):
    """Any component, as it was asked or as it was filled in.

    Attributes:
        component: what a label (type 18) holds.
    """

    type: int | None = None
    custom_id: str | None = None
    label: str | None = None
    value: Scalar | None = None
    values: tuple[str, ...] | None = None
    options: tuple[SelectOption, ...] = ()
    components: tuple[Component, ...] = ()
    component: Component | None = None


class Message(Wired, frozen=True):
    """https://docs.discord.com/developers/resources/message#message-object."""

    id: Snowflake
    channel_id: Snowflake | None = None
    content: str | None = None
    author: User | None = None
    attachments: tuple[Attachment, ...] = ()
    components: tuple[Component, ...] = ()


class Role(Wired, frozen=True):
    """Of which only the name is read."""

    name: str | None = None


class Resolved(Wired, frozen=True):
    """What ids in the data stand for."""

    users: dict[str, User] = {}
    members: dict[str, Member] = {}
    roles: dict[str, Role] = {}
    channels: dict[str, Channel] = {}
    messages: dict[str, Message] = {}
    attachments: dict[str, Attachment] = {}


class Data(Wired, frozen=True):
    """The data of a command, a component or a modal."""

    name: str | None = None
    type: int | None = None
    target_id: Snowflake | None = None
    options: tuple[Option, ...] = ()
    custom_id: str | None = None
    component_type: int | None = None
    values: tuple[str, ...] | None = None
    components: tuple[Component, ...] = ()
    resolved: Resolved = Resolved()


class Interaction(Wired, frozen=True):
    """What is posted to the Interactions Endpoint URL."""

    id: Snowflake
    type: int
    application_id: Snowflake | None = None
    token: str = ""
    data: Data | None = None
    guild_id: Snowflake | None = None
    channel_id: Snowflake | None = None
    channel: Channel | None = None
    member: Member | None = None
    user: User | None = None
    message: Message | None = None
    locale: str | None = None
    context: int | None = None

    @property
    def where(self) -> str | None:
        """The channel."""
        return self.channel_id or (self.channel.id if self.channel else None)


class EventBody(Wired, frozen=True):
    """https://docs.discord.com/developers/events/webhook-events#event-body-object."""

    type: str
    timestamp: str | None = None
    data: dict[str, object] = {}


class WebhookEvent(Wired, frozen=True):
    """What is posted to the Webhook Events URL; not interactions, but their signature is the same."""

    type: int
    application_id: Snowflake | None = None
    event: EventBody | None = field(default=None)
