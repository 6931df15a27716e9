"""WeCom customer service (微信客服) wire format (https://developer.work.weixin.qq.com/document/path/94670).

What is peculiar: a delivery is a poke that carries no message; what happened is pulled, item by item, by the
connector, which hands over each item as a delivery of its own (`RawEvent.meta["api"]`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from normalizer import build
from normalizer.codecs import wechat_xml
from normalizer.codecs import wecom_kf_send as outgoing
from normalizer.codecs.wecom_kf_content import parts_of
from normalizer.codecs.wecom_kf_events import event_of
from normalizer.codecs.wecom_kf_frame import SCHEME, UNIONID, VERSION, Frame, read, text
from normalizer.errors import MalformedPayload
from normalizer.model import ActivityParams, Address, Flags
from normalizer.parts import System
from normalizer.raw import Decoded, Ignored, Outbound, RawEvent, Wire

ITEM, CUSTOMER = "kf/sync_msg", "kf/customer/batchget"
"""`RawEvent.meta["api"]`: an item that was pulled; what WeCom tells about one customer."""

POKE = "kf_msg_or_event"
SYSTEM_NAME = "sys"
Decrypt = Callable[[str], bytes]
"""Decrypts ``Encrypt``; raises `MalformedPayload`."""


class Poke(Struct, frozen=True):
    """WeCom says that an account has news; `token` is good for ten minutes."""

    account: str
    token: str


class Entered(Struct, frozen=True):
    """A customer opened the conversation; `code` may be answered once, within 20 seconds."""

    address: str
    code: str


class WecomKfCodec:
    """See `Codec`."""

    version: Final[str] = VERSION

    def __init__(self, corp_id: str, decrypt: Decrypt, *, account: str | None = None) -> None:
        """Speak for a corp, and by `account` where an address names none."""
        self._corp_id, self._decrypt, self._account = corp_id, decrypt, account

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read a pulled item, what was told about a customer, or a notice; a poke says nothing."""
        api = raw.meta.get("api")
        if api == CUSTOMER:
            return (_identified(raw),)
        if api != ITEM:
            return (Ignored(reason="poke") if self.poke(raw.body) else _notice(raw, self._fields(raw.body)),)
        frame = Frame(raw, self._corp_id)
        if frame.kind == "event":
            return (event_of(frame),)
        return (frame.received(parts_of(frame), forwarded=frame.kind == "merged_msg"),)

    def poke(self, body: bytes) -> Poke | None:
        """Read a poke; None for other notices. Raises `MalformedPayload`."""
        fields = self._fields(body)
        account = wechat_xml.text(fields, "OpenKfId").strip()
        if wechat_xml.text(fields, "Event") != POKE:
            return None
        if not account:
            raise MalformedPayload("OpenKfId is missing")
        return Poke(account, wechat_xml.text(fields, "Token").strip())

    def _fields(self, body: bytes) -> wechat_xml.Fields:
        fields = wechat_xml.read(body)
        if encrypted := wechat_xml.text(fields, "Encrypt"):
            fields = wechat_xml.read(self._decrypt(encrypted))
        if not wechat_xml.text(fields, "Event"):
            raise MalformedPayload("Event is missing")
        return fields

    def customer(self, raw: RawEvent) -> str:
        """Return the customer a pulled item is from or about; empty if there is none, or it cannot be read."""
        try:
            return Frame(raw, self._corp_id).customer
        except MalformedPayload:
            return ""

    def entered(self, raw: RawEvent) -> Entered | None:
        """Return what a pulled item says about greeting; None for nearly all."""
        try:
            frame = Frame(raw, self._corp_id)
        except MalformedPayload:
            return None
        code = text(frame.content, "welcome_code")
        address = frame.conversation.provider_id or ""
        return Entered(address, code) if frame.event == "enter_session" and code and frame.customer else None

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of the API; raises `Unsendable`."""
        return outgoing.send(message, self._account)


def _notice(raw: RawEvent, fields: wechat_xml.Fields) -> Decoded:
    """Hand on what WeCom tells of the accounts themselves (``kf_account_auth_change``)."""
    event, created = wechat_xml.text(fields, "Event"), wechat_xml.text(fields, "CreateTime")
    known = {"ToUserName", "CreateTime", "MsgType", "Event"}
    args = {name: value for name, value in fields.items() if name not in known}
    message = build.message(
        raw,
        native_id=f"{created}:{event}",
        sender=build.party(SCHEME, SYSTEM_NAME, role="system"),
        parts=[System(event=event, args=args)],
        flags=Flags(auto_generated=True),
    )
    return build.received(raw, message, build.conversation(raw, SYSTEM_NAME), normalizer=VERSION)


def _identified(raw: RawEvent) -> Decoded:
    """Tell the name of a customer, and which UnionID belongs to it."""
    told = read(raw.body)
    customer, union = text(told, "external_userid"), text(told, "unionid")
    name = text(told, "nickname")
    if not customer or not (union or name):
        return Ignored(reason="nothing_known")
    return build.event(
        raw,
        "contact.identified",
        ActivityParams,
        native_id=customer,
        revision=f"{union} {name}",
        normalizer=VERSION,
        at=raw.received_at,
        sender=build.party(
            SCHEME,
            customer,
            name=name or None,
            also=(Address(scheme=UNIONID, value=union),) if union else (),
        ),
    )
