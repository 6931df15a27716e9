"""WeCom app wire format (https://developer.work.weixin.qq.com/document/path/90930).

What is peculiar: as in WeChat MsgId is told apart by the member, and events have none; a delivery can be answered in
the HTTP answer. Deliveries are decrypted by the connector; one that could not be is tried again here, from quarantine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from normalizer.codecs import wechat_xml
from normalizer.codecs import wecom_send as outgoing
from normalizer.codecs.wechat_content import parts_of
from normalizer.codecs.wechat_xml import Fields, text
from normalizer.codecs.wecom_events import ANSWERABLE, event_of
from normalizer.codecs.wecom_frame import SYSTEM, VERSION, Frame
from normalizer.codecs.wecom_send import App
from normalizer.errors import MalformedPayload
from normalizer.methods import Params
from normalizer.raw import Decoded, Outbound, RawEvent, Wire

DELIVERIES_KEPT = 16
Decrypt = Callable[[str], bytes]
"""Decrypts ``Encrypt``; raises `MalformedPayload`."""


class WecomCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
        fields: reads a delivery, decrypted if it is encrypted; raises `MalformedPayload`.
    """

    version: Final[str] = VERSION

    def __init__(self, app: App, decrypt: Decrypt, *, passive_secs: float = 0.0) -> None:
        """Speak for `app`; tell the core that a reply within `passive_secs` is free."""
        self._app, self._decrypt, self._passive_secs = app, decrypt, passive_secs
        self.fields = lru_cache(maxsize=DELIVERIES_KEPT)(self._fields)  # a delivery is looked at several times

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read one message or event."""
        frame = Frame(raw, self.fields(raw.body), agent_id=self._app.agent_id, passive_secs=self._passive_secs)
        if frame.kind == "event":
            return (event_of(frame),)
        return (frame.received(parts_of(raw, frame.fields)),)

    def _fields(self, body: bytes) -> Fields:
        fields = wechat_xml.read(body)
        encrypted = text(fields, "Encrypt")
        return wechat_xml.read(self._decrypt(encrypted)) if encrypted else fields

    def answerable(self, raw: RawEvent) -> Frame | None:
        """Return a delivery that can be answered in the HTTP answer; None for others, or if nobody can read it."""
        try:
            frame = Frame(raw, self.fields(raw.body), agent_id=self._app.agent_id)
        except MalformedPayload:
            return None
        able = frame.kind != "event" or frame.event in ANSWERABLE
        return frame if able and frame.user != SYSTEM else None

    def passive(self, message: Outbound, info: dict[str, str]) -> bytes | None:
        """Render a reply in the HTTP answer; see `connectors.passive_webhook`."""
        fields = outgoing.passive(message, info, self._app)
        return None if fields is None else wechat_xml.write(fields)

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of the API; raises `Unsendable`."""
        return outgoing.send(message, self._app)

    def request(self, method: str, params: Params) -> Wire:
        """Render any other request; raises `Unsendable`."""
        return outgoing.request(method, params)
