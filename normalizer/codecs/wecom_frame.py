"""What every delivery of a WeCom app has: who, to which app, when, and what makes it the same delivery.

https://developer.work.weixin.qq.com/document/path/90930
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from normalizer import build, ids
from normalizer.codecs.wechat_content import extras, moment
from normalizer.codecs.wechat_xml import Fields, nested, text
from normalizer.errors import MalformedPayload
from normalizer.model import Conversation, Flags, Party, ReplyWindow
from normalizer.parts import AnyPart
from normalizer.raw import Event, RawEvent

SCHEME = "wecom"
VERSION = "wecom/1"
SYSTEM = "sys"
"""`FromUserName` of what no member did."""

_KEYS = ("EventKey", "TaskId", "ChangeType", "UserID", "Id", "TagId")
"""What tells two events of one person in one second apart, where it is there."""


class Frame:
    """One delivery, decrypted.

    Attributes:
        user: UserID of the member, ``sys`` for what no member did.
        corp: the corp's id.
        agent: AgentID of the app; empty for what belongs to the whole corp.
        native: with `user` what makes a delivery the same: MsgId, or of an event its time, name, app and keys.
        address: what a reply is addressed to: the UserID, with the app before it where that is not ours.
    """

    def __init__(self, raw: RawEvent, fields: Fields, *, agent_id: int, passive_secs: float = 0.0) -> None:
        """Read it; raises `MalformedPayload` that names the missing field."""
        self.raw, self.fields, self._passive_secs = raw, fields, passive_secs
        self.user, self.corp = text(fields, "FromUserName").strip(), text(fields, "ToUserName").strip()
        self.kind, self.event = text(fields, "MsgType"), text(fields, "Event")
        self.agent = text(fields, "AgentID", "AgentId").strip()
        self.native = self._native(text(fields, "CreateTime").strip())
        wanted = {
            "FromUserName": self.user,
            "ToUserName": self.corp,
            "MsgType": self.kind,
            "MsgId or CreateTime": self.native,
        }
        for name, value in wanted.items():
            if not value:
                raise MalformedPayload(f"{name} is missing")
        ours = self.agent in {"", str(agent_id)}
        self.address = self.user if ours else f"{self.agent}/{self.user}"

    def _native(self, created: str) -> str:
        native = text(self.fields, "MsgId").strip()
        self.sent_at = moment(created)
        if self.kind != "event" or native or not created:
            return native
        job = text(nested(self.fields, "BatchJob"), "JobId")
        keys = [text(self.fields, name) for name in _KEYS]
        return ":".join([created, self.event, self.agent, *filter(None, [*keys, job])])

    @property
    def message_id(self) -> str:
        """Our id of the message."""
        return ids.message_id(self.raw.channel.id, self.user, self.native)

    @property
    def conversation(self) -> Conversation:
        """The conversation of this member with this app."""
        return build.conversation(self.raw, self.address)

    @property
    def sender(self) -> Party:
        """The member, or the system; a UserID says who it is only together with the corp."""
        return build.party(SCHEME, f"{self.corp}/{self.user}", role="system" if self.user == SYSTEM else "customer")

    @property
    def metadata(self) -> dict[str, Any]:
        """Every field that has no place in the model."""
        found = extras(self.fields).get("wechat", {})
        found = {**({"Event": self.event} if self.event else {}), **found}
        return {SCHEME: found} if found else {}

    def received(self, parts: Iterable[AnyPart], *, answerable: bool = True, automatic: bool = False) -> Event:
        """Make `message.received`; `answerable` if it can be answered in the HTTP answer."""
        message = build.message(
            self.raw,
            native_id=self.native,
            scope=self.user,
            sender=self.sender,
            parts=parts,
            to=(build.party(SCHEME, f"{self.corp}/{self.agent}", name=self.raw.channel.account, role="bot"),),
            sent_at=self.sent_at,
            flags=Flags(auto_generated=True) if automatic else None,
            reply_window=self._window() if answerable and self._passive_secs else None,
        )
        return build.received(
            self.raw, message, self.conversation, scope=self.user, normalizer=VERSION, metadata=self.metadata
        )

    def _window(self) -> ReplyWindow:
        deadline = self.raw.received_at + timedelta(seconds=self._passive_secs)
        return ReplyWindow(mode="passive", passive_deadline=deadline)
