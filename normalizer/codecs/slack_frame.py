"""What every delivery of Slack has: workspace, channel, who; and what makes two deliveries the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from normalizer import build, ids
from normalizer.errors import MalformedPayload
from normalizer.model import ActivityParams, Conversation, MessageParams, MessageRef, Party
from normalizer.parts import AnyPart
from normalizer.raw import Event, RawEvent

VERSION = "slack/1"
SCHEME = "slack"
SERVICE = Party(id=ids.contact_id(SCHEME, "service"), name="Slack", role="system")
"""Speaks where Slack names nobody."""

T = TypeVar("T")


def convert(value: Any, shape: type[T]) -> T:
    """Read a part of a delivery; raises `MalformedPayload` with the path of the offender."""
    try:
        return msgspec.convert(value, shape)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise MalformedPayload(str(exc)) from exc


def moment(ts: str | None) -> datetime | None:
    """Read a `ts` as time."""
    return None if ts is None else datetime.fromtimestamp(float(ts), UTC)


def number(ts: str) -> int:
    """Read a `ts` as microseconds, a number that rises with each edit."""
    seconds, _, rest = ts.partition(".")
    return int(seconds) * 1_000_000 + int(rest.ljust(6, "0") or 0)


def person(user: str, *, name: str | None = None, role: build.Role = "customer") -> Party:
    """Describe a user or a bot by its id."""
    return build.party(SCHEME, user, name=name, role=role)


def scalars(fields: dict[str, Any], *leave: str) -> dict[str, Any]:
    """Keep what is neither object nor list, for the arguments of a `system` part, without the names to `leave`."""
    return {
        name: value
        for name, value in fields.items()
        if isinstance(value, str | int | float | bool) and name not in leave
    }


class Frame(Struct, frozen=True):
    """Where something happened.

    Attributes:
        team: the workspace through which we receive it.
        app: our app, whose own messages come back.
        bot: our user.
        extra: for `metadata.slack` of every event.
    """

    raw: RawEvent
    team: str
    app: str | None = None
    bot: str | None = None
    extra: dict[str, Any] = {}

    def scope(self, channel: str) -> str:
        """Make a `ts` unique."""
        return f"{self.team}/{channel}"

    def conversation(self, channel: str, channel_type: str | None = None) -> Conversation:
        """Describe a channel; direct messages have ids that begin with D, and users may be addressed as well."""
        direct = channel_type in {"im", "app_home"} or channel[:1] in {"D", "U", "W"}
        return build.conversation(self.raw, channel, "direct" if direct else "group")

    def reference(self, channel: str, ts: str) -> MessageRef:
        """Refer to a message."""
        return MessageRef(id=ids.message_id(self.raw.channel.id, self.scope(channel), ts), provider_id=ts)

    @property
    def us(self) -> tuple[Party, ...]:
        """Our side, where Slack names it."""
        return (person(self.bot, name=self.raw.channel.account, role="bot"),) if self.bot else ()

    def metadata(self, **more: Any) -> dict[str, Any]:
        """Collect what only Slack has."""
        told = {**self.extra, **{name: value for name, value in more.items() if value is not None}}
        return {SCHEME: told} if told else {}

    def told(
        self,
        native: str,
        sender: Party,
        parts: list[AnyPart],
        channel: str | None,
        *,
        channel_type: str | None = None,
        metadata: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Event:
        """Make `message.received` of something that is no message of Slack's."""
        message = build.message(
            self.raw,
            native_id=native,
            scope=self.scope(channel or ""),
            sender=sender,
            parts=parts,
            to=self.us,
            **fields,
        )
        return build.event(
            self.raw,
            "message.received",
            MessageParams,
            native_id=native,
            scope=self.scope(channel or ""),
            normalizer=VERSION,
            message=message,
            conversation=self.conversation(channel, channel_type) if channel else None,
            metadata=self.metadata(**(metadata or {})),
        )

    def activity(self, method: str, native: str, sender: Party, channel: str, *, at: str | None, **more: Any) -> Event:
        """Make an event that is no message."""
        return build.event(
            self.raw,
            method,
            ActivityParams,
            native_id=native,
            scope=self.scope(channel),
            revision=method,
            normalizer=VERSION,
            conversation=self.conversation(channel),
            sender=sender,
            at=moment(at) or self.raw.received_at,
            metadata=self.metadata(**more),
        )
