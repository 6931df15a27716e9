"""What every pulled item of WeCom customer service has: which account, which customer, who did it, when.

https://developer.work.weixin.qq.com/document/path/94670
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from normalizer import build
from normalizer.errors import MalformedPayload
from normalizer.model import Conversation, Flags, Party, ReplyWindow
from normalizer.parts import AnyPart
from normalizer.raw import Event, RawEvent

SCHEME = "wecom-kf"
STAFF = "wecom"
"""Scheme of the corp's own people."""
UNIONID = "wechat-unionid"
VERSION = "wecom-kf/1"
WINDOW = timedelta(hours=48)
"""https://developer.work.weixin.qq.com/document/path/94677."""
CUSTOMER, SYSTEM, SERVICER = 3, 4, 5
"""Values of `origin`."""
LATEST = 32_503_680_000
"""The year 3000: what is later is no time."""

Fields = dict[str, Any]


def read(body: bytes) -> Fields:
    """Read a JSON object; raises `MalformedPayload`."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise MalformedPayload(str(exc) or "not JSON") from exc


def text(fields: Fields, name: str) -> str:
    """Return a field as text, empty if it is not there; numbers are written out."""
    value = fields.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def nested(fields: Fields, name: str) -> Fields:
    """Return a group of fields; empty if it is not there."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def rows(fields: Fields, name: str) -> list[Fields]:
    """Return a list of groups, without what is none."""
    value = fields.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


class Frame:
    """One pulled item.

    Attributes:
        fields: the item.
        content: what stands under the name of its type.
        kind: its `msgtype`.
        account: the customer-service account (`open_kfid`).
        customer: the customer's external_userid; empty for what concerns the account alone.
        servicer: UserID of the employee who did it, if one did.
    """

    def __init__(self, raw: RawEvent, corp_id: str) -> None:
        """Read it; raises `MalformedPayload` that names the missing field."""
        self.raw, self.fields, self._corp_id = raw, read(raw.body), corp_id
        fields = self.fields
        self.kind, self.native, self.origin = text(fields, "msgtype"), text(fields, "msgid"), fields.get("origin")
        self.content = nested(fields, self.kind)
        self.event = text(self.content, "event_type") if self.kind == "event" else ""
        self.account = text(fields, "open_kfid") or text(self.content, "open_kfid")
        self.customer = text(fields, "external_userid") or text(self.content, "external_userid")
        self.servicer = text(fields, "servicer_userid") or text(self.content, "servicer_userid")
        wanted = {"msgid": self.native, "msgtype": self.kind, "open_kfid": self.account}
        if self.kind != "event":
            wanted["external_userid"] = self.customer
        for name, value in wanted.items():
            if not value:
                raise MalformedPayload(f"{name} is missing")
        self.sent_at = _moment(fields.get("send_time"))

    @property
    def conversation(self) -> Conversation:
        """The conversation of this customer with this account."""
        address = f"{self.account}/{self.customer}" if self.customer else self.account
        return build.conversation(self.raw, address)

    @property
    def sender(self) -> Party:
        """Who did it."""
        if self.servicer and self.origin != CUSTOMER:
            return build.party(STAFF, f"{self._corp_id}/{self.servicer}", role="agent")
        if self.customer:
            return build.party(SCHEME, self.customer)
        return build.party(SCHEME, self.account, role="system")

    @property
    def us(self) -> Party:
        """The account."""
        return build.party(SCHEME, self.account, name=self.raw.channel.account, role="bot")

    @property
    def metadata(self) -> dict[str, Any]:
        """What has no place in the model."""
        own = {name: value for name, value in self.fields.items() if name in {"open_kfid", "origin", "servicer_userid"}}
        content = self.content if self.kind not in PLAIN else {}
        return {SCHEME: {**own, **{name: value for name, value in content.items() if value not in ("", None, {}, [])}}}

    def received(self, parts: Iterable[AnyPart], *, automatic: bool = False, forwarded: bool = False) -> Event:
        """Make `message.received`; what an employee wrote is an echo."""
        echo = self.origin == SERVICER
        open_until = self.sent_at or self.raw.received_at
        message = build.message(
            self.raw,
            native_id=self.native,
            sender=self.sender,
            parts=parts,
            direction="echo" if echo else "in",
            to=(build.party(SCHEME, self.customer),) if echo else (self.us,),
            sent_at=self.sent_at,
            flags=Flags(auto_generated=automatic, forwarded=forwarded) if automatic or forwarded else None,
            reply_window=ReplyWindow(until=open_until + WINDOW) if self.origin == CUSTOMER else None,
        )
        return build.received(self.raw, message, self.conversation, normalizer=VERSION, metadata=self.metadata)


PLAIN = frozenset({"text", "image", "voice", "video", "file", "location"})
"""Types of which nothing is left over."""


def _moment(sent: Any) -> datetime | None:
    if isinstance(sent, bool) or not isinstance(sent, int) or not 0 < sent < LATEST:
        return None
    return datetime.fromtimestamp(sent, UTC)
