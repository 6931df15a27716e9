"""Discord interactions: commands, components and modals, by outgoing webhook.

https://docs.discord.com/developers/interactions/receiving-and-responding

What is peculiar: every interaction must be answered in 3 s, and can be answered for 15 minutes by its token, which is
no matter of the codec's. Ordinary chat does not come this way: it needs Discord's Gateway, a WebSocket.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs import discord_content as content
from normalizer.codecs import discord_send as outgoing
from normalizer.codecs import discord_types as t
from normalizer.errors import MalformedPayload
from normalizer.methods import Params
from normalizer.model import Address, Conversation, MessageParams, MessageRef, Party, ReplyWindow
from normalizer.parts import AnyPart
from normalizer.raw import Decoded, Event, Ignored, Outbound, RawEvent, Wire

VERSION, SCHEME, USERNAME = "discord/1", "discord", "discord-username"
PING, COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 1, 2, 3, 4, 5
ANSWERABLE = frozenset({COMMAND, COMPONENT, MODAL})
TOKEN_LIFE = timedelta(minutes=15)
EPOCH_MS = 1_420_070_400_000
"""The first second of 2015, from which snowflakes count."""

DIRECT = frozenset({1})
"""Type of a channel between two (https://docs.discord.com/developers/resources/channel#channel-object-channel-types)."""


class Answerable(Struct, frozen=True, kw_only=True):
    """What a delivery says about its answer.

    Attributes:
        conversation_id: ours.
        message_id: ours, of the message the interaction becomes.
        native: the interaction's id.
        token: good for 15 minutes.
        type: of the interaction.
        updates: the message with the component stays as it is until the answer comes; nobody sees us wait.
    """

    conversation_id: str
    message_id: str
    native: str
    token: str
    type: int
    updates: bool


class DiscordCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
    """

    version: Final[str] = VERSION

    def __init__(self, sending: outgoing.Sending, *, passive_secs: float = 0.0, account: str | None = None) -> None:
        """Send as `sending` says; tell the core that a reply within `passive_secs` is in the HTTP answer."""
        self._sending, self._passive_secs = sending, passive_secs
        self._us = build.party(SCHEME, sending.application_id, name=account, role="bot")

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read one interaction."""
        if b'"event"' in raw.body:
            told = build.parse(raw.body, t.WebhookEvent)
            if told.event is not None:
                return (self._event(raw, told.event),)
        found = build.parse(raw.body, t.Interaction)
        if found.type == PING:
            return (Ignored(reason="ping"),)
        if found.type == AUTOCOMPLETE:
            return (Ignored(reason="autocomplete"),)
        return (self._message(raw, found),)

    def answerable(self, raw: RawEvent) -> Answerable | None:
        """Say how a delivery can be answered; None if it cannot. Raises nothing."""
        try:
            found = build.parse(raw.body, t.Interaction)
        except MalformedPayload:
            return None
        if not found.token or found.where is None:
            return None
        return Answerable(
            conversation_id=ids.conversation_id(raw.channel.id, found.where),
            message_id=ids.message_id(raw.channel.id, "", found.id),
            native=found.id,
            token=found.token,
            type=found.type,
            updates=found.type == COMPONENT or (found.type == MODAL and found.message is not None),
        )

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of the API; raises `Unsendable`."""
        return outgoing.send(message, self._sending)

    def passive(self, message: Outbound, info: dict[str, str]) -> bytes | None:
        """Render a message as the answer to its interaction; see `PassiveCodec`."""
        return outgoing.answer(message, self._sending)

    def request(self, method: str, params: Params, token: str | None = None) -> Wire:
        """Render any other request, with the interaction's `token` where there is one; raises `Unsendable`."""
        return outgoing.request(method, params, self._sending, token)

    def _message(self, raw: RawEvent, found: t.Interaction) -> Event:
        parts, metadata = self._parts(raw, found)
        at = moment(found.id)
        message = build.message(
            raw,
            native_id=found.id,
            sender=_sender(found),
            parts=parts,
            to=(self._us,),
            sent_at=at,
            reply_to=_reply_to(raw, found),
            reply_window=self._window(raw, at),
        )
        told = {"interaction": found.type, "guild_id": found.guild_id, "context": found.context, **metadata}
        return build.event(
            raw,
            "message.received",
            MessageParams,
            native_id=found.id,
            normalizer=VERSION,
            message=message,
            conversation=_conversation(raw, found),
            metadata={SCHEME: {name: value for name, value in told.items() if value is not None}},
        )

    def _parts(self, raw: RawEvent, found: t.Interaction) -> tuple[list[AnyPart], dict[str, Any]]:
        data = found.data
        if found.type in ANSWERABLE and data is None:
            raise MalformedPayload("the interaction has no `data`")
        if data is not None and found.type == COMMAND:
            return content.command(data, raw.channel.id)
        if data is not None and found.type == COMPONENT:
            return content.choice(found, data), {"custom_id": data.custom_id}
        if data is not None and found.type == MODAL:
            return content.form(data, raw.channel.id), {"custom_id": data.custom_id}
        return [p.Unsupported(provider_type=f"interaction_{found.type}")], {}

    def _window(self, raw: RawEvent, at: datetime) -> ReplyWindow:
        until = at + TOKEN_LIFE
        if not self._passive_secs:
            return ReplyWindow(until=until)
        deadline = raw.received_at + timedelta(seconds=self._passive_secs)
        return ReplyWindow(until=until, mode="passive", passive_deadline=deadline)

    def _event(self, raw: RawEvent, event: t.EventBody) -> Event:
        """Hand on what Discord tells of the app itself; it is nothing that can be answered."""
        user = event.data.get("user")
        native = user.get("id") if isinstance(user, dict) else None
        sender = build.party(SCHEME, native) if isinstance(native, str) and native else self._us
        args = {name: value for name, value in event.data.items() if isinstance(value, str | int | float | bool)}
        name = f"{event.type}:{event.timestamp or ''}:{native or ''}"
        part = p.System(event=event.type.lower(), args=args)
        message = build.message(raw, native_id=name, sender=sender, parts=[part])
        return build.event(
            raw,
            "message.received",
            MessageParams,
            native_id=name,
            normalizer=VERSION,
            message=message,
            conversation=None,
        )


def moment(snowflake: str) -> datetime:
    """Read the time in an id."""
    return datetime.fromtimestamp(((int(snowflake) >> 22) + EPOCH_MS) / 1000, UTC)


def _sender(found: t.Interaction) -> Party:
    user = (found.member.user if found.member else None) or found.user
    if user is None:
        raise MalformedPayload("neither `member.user` nor `user` is there")
    nick = found.member.nick if found.member else None
    also = (Address(scheme=USERNAME, value=user.username),) if user.username else ()
    return build.party(
        SCHEME,
        user.id,
        name=nick or user.global_name or user.username,
        role="bot" if user.bot else "customer",
        locale=found.locale,
        also=also,
    )


def _conversation(raw: RawEvent, found: t.Interaction) -> Conversation | None:
    if found.where is None:
        return None
    kind = found.channel.type if found.channel else None
    direct = kind in DIRECT or (kind is None and found.guild_id is None and found.context == 1)
    return build.conversation(raw, found.where, "direct" if direct else "group")


def _reply_to(raw: RawEvent, found: t.Interaction) -> MessageRef | None:
    native = found.message.id if found.message else None
    if found.type == COMMAND and found.data is not None and found.data.type == 3:
        native = found.data.target_id
    return MessageRef(id=ids.message_id(raw.channel.id, "", native), provider_id=native) if native else None
