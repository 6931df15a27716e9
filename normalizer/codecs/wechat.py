"""WeChat Official Account and mini-program wire format.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html

What is peculiar: MsgId repeats across users, and events have none; some messages can be answered in the HTTP answer.
Encrypted deliveries are decrypted by the connector; one that could not be is tried again here, from quarantine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Final

from msgspec import Struct

from normalizer import build
from normalizer.codecs import wechat_send as outgoing
from normalizer.codecs import wechat_xml
from normalizer.codecs.wechat_content import parts_of
from normalizer.codecs.wechat_events import ANSWERABLE, event_of
from normalizer.codecs.wechat_frame import SCHEME, UNIONID, VERSION, Frame, read
from normalizer.codecs.wechat_xml import Fields, text
from normalizer.errors import MalformedPayload
from normalizer.methods import Params
from normalizer.model import ActivityParams, Address
from normalizer.raw import Decoded, Ignored, Outbound, RawEvent, Wire

WINDOW = timedelta(hours=48)
"""https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html."""

USER_INFO = "user/info"
"""`RawEvent.meta["api"]` of an answer of https://developers.weixin.qq.com/doc/offiaccount/User_Management/Get_users_basic_information_UnionID.html."""

DELIVERIES_KEPT = 16
Decrypt = Callable[[str], bytes]
"""Decrypts ``Encrypt``; raises `MalformedPayload`."""


class Answerable(Struct, frozen=True, kw_only=True):
    """What a delivery says about its answer.

    Attributes:
        native: the provider's id of the message.
        info: what `WechatCodec.passive` needs.
        event: its name, empty for messages.
    """

    user: str
    message_id: str
    conversation_id: str
    native: str
    event: str
    info: dict[str, str]


class WechatCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
        fields: reads a delivery, decrypted if it is encrypted; raises `MalformedPayload`.
    """

    version: Final[str] = VERSION

    def __init__(self, decrypt: Decrypt | None = None, *, passive_secs: float = 0.0, mini: bool = False) -> None:
        """Decrypt by `decrypt`; tell the core that a reply within `passive_secs` is free; `mini` for mini programs."""
        self._decrypt, self._passive_secs, self._mini = decrypt, passive_secs, mini
        self.fields = lru_cache(maxsize=DELIVERIES_KEPT)(self._fields)  # a delivery is looked at several times

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read one message or event."""
        if raw.meta.get("api") == USER_INFO:
            return (self._identified(raw),)
        frame = Frame(raw, self.fields(raw.body), passive_secs=self._passive_secs)
        if frame.kind == "event":
            return (event_of(frame),)
        return (frame.received(parts_of(raw, frame.fields), window=WINDOW),)

    def _fields(self, body: bytes) -> Fields:
        """Read a delivery, decrypted if it is encrypted; raises `MalformedPayload`."""
        fields = read(body)
        encrypted = text(fields, "Encrypt")
        if not encrypted:
            return fields
        if self._decrypt is not None:
            return read(self._decrypt(encrypted))
        if not text(fields, "MsgType"):  # in compatible mode both are there
            raise MalformedPayload("the delivery is encrypted; set `encoding_aes_key`")
        return fields

    def answerable(self, raw: RawEvent) -> Answerable | None:
        """Say how a delivery can be answered; None if nobody answers it, or nobody can read it."""
        try:
            frame = Frame(raw, self.fields(raw.body))
        except MalformedPayload:
            return None
        if frame.kind == "event" and frame.event not in ANSWERABLE:
            return None
        at = str(int(raw.received_at.timestamp()))
        return Answerable(
            user=frame.user,
            message_id=frame.message_id,
            conversation_id=frame.conversation.id,
            native=frame.native,
            event=frame.event,
            info={"user": frame.user, "us": frame.us, "at": at},
        )

    def passive(self, message: Outbound, info: dict[str, str]) -> bytes | None:
        """Render a reply in the HTTP answer; see `connectors.passive_webhook`."""
        fields = outgoing.passive(message, info)
        return None if fields is None else wechat_xml.write(fields)

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of the API; raises `Unsendable`."""
        return outgoing.send(message, mini=self._mini)

    def request(self, method: str, params: Params) -> Wire:
        """Render any other request; raises `Unsendable`."""
        return outgoing.request(method, params)

    def _identified(self, raw: RawEvent) -> Decoded:
        """Tell which UnionID belongs to an OpenID."""
        told = read(raw.body)
        user, union = text(told, "openid"), text(told, "unionid").strip()
        if not user or not union:
            return Ignored(reason="no_unionid")
        return build.event(
            raw,
            "contact.identified",
            ActivityParams,
            native_id=union,
            scope=user,
            normalizer=VERSION,
            conversation=build.conversation(raw, user),
            at=raw.received_at,
            sender=build.party(
                SCHEME,
                user,
                name=text(told, "nickname") or None,
                locale=text(told, "language") or None,
                also=(Address(scheme=UNIONID, value=union),),
            ),
        )
