"""What every delivery of WeChat has: who, to whom, when, and what makes it the same delivery."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec

from normalizer import build, ids
from normalizer.codecs import wechat_xml
from normalizer.codecs.wechat_content import extras, moment
from normalizer.codecs.wechat_xml import Fields, text
from normalizer.errors import MalformedPayload
from normalizer.model import Address, Conversation, Flags, Party, ReplyWindow
from normalizer.parts import AnyPart
from normalizer.raw import Event, RawEvent

SCHEME = "wechat"
UNIONID = "wechat-unionid"
"""Scheme of the id that one person has in all apps of one owner."""
VERSION = "wechat/1"


def read(body: bytes) -> Fields:
    """Read a delivery in either data format, XML or JSON; raises `MalformedPayload`."""
    if not body.lstrip().startswith(b"{"):
        return wechat_xml.read(body)
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise MalformedPayload(str(exc) or "not JSON") from exc
    return found


class Frame:
    """One delivery.

    Attributes:
        user: the OpenID.
        us: our account, ``gh_…``.
        native: with `user` what makes a delivery the same: MsgId, or of an event its time, name and key
            (ids repeat across users, and events have none).
    """

    def __init__(self, raw: RawEvent, fields: Fields, *, passive_secs: float = 0.0) -> None:
        """Read it; raises `MalformedPayload` that names the missing field."""
        self.raw, self.fields, self._passive_secs = raw, fields, passive_secs
        self.user, self.us = text(fields, "FromUserName").strip(), text(fields, "ToUserName").strip()
        self.kind, self.event = text(fields, "MsgType"), text(fields, "Event")
        created, native = text(fields, "CreateTime").strip(), text(fields, "MsgId", "MsgID").strip()
        if not native and self.kind == "event" and created:
            native = f"{created}:{self.event}:{text(fields, 'EventKey')}"
        elif native and self.kind == "event":
            native = f"{native}:{self.event}"
        wanted = {"FromUserName": self.user, "MsgType": self.kind, "MsgId or CreateTime": native}
        for name, value in wanted.items():
            if not value:
                raise MalformedPayload(f"{name} is missing")
        self.native = native
        self.sent_at = moment(created)

    @property
    def message_id(self) -> str:
        """Our id of the message."""
        return ids.message_id(self.raw.channel.id, self.user, self.native)

    @property
    def conversation(self) -> Conversation:
        """The conversation with the person."""
        return build.conversation(self.raw, self.user)

    @property
    def sender(self) -> Party:
        """The person, with the UnionID where WeChat tells it."""
        union = text(self.fields, "UnionId", "UnionID", "unionid")
        also = (Address(scheme=UNIONID, value=union),) if union else ()
        return build.party(SCHEME, self.user, also=also)

    def received(self, parts: Iterable[AnyPart], *, window: timedelta | None, automatic: bool = False) -> Event:
        """Make `message.received`; `window` is how long it lets us answer."""
        message = build.message(
            self.raw,
            native_id=self.native,
            scope=self.user,
            sender=self.sender,
            parts=parts,
            to=(build.party(SCHEME, self.us, name=self.raw.channel.account, role="bot"),) if self.us else (),
            sent_at=self.sent_at,
            flags=Flags(auto_generated=True) if automatic else None,
            reply_window=None if window is None else self._window(window),
        )
        metadata = extras(self.fields)
        if self.event:
            metadata = {"wechat": {"Event": self.event, **metadata.get("wechat", {})}}
        return build.received(
            self.raw, message, self.conversation, scope=self.user, normalizer=VERSION, metadata=metadata
        )

    def _window(self, window: timedelta) -> ReplyWindow:
        until = (self.sent_at or self.raw.received_at) + window
        if not self._passive_secs:
            return ReplyWindow(until=until)
        deadline = self.raw.received_at + timedelta(seconds=self._passive_secs)
        return ReplyWindow(until=until, mode="passive", passive_deadline=deadline)
