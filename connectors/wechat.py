"""WeChat Official Accounts and mini programs (https://developers.weixin.qq.com/doc/offiaccount/).

WeChat delivers one message per request, waits 5 s, and tries three times in all; the answer may carry a reply. Later
replies go by the customer-service API, within 48 hours of the person's last message.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from connectors.api import Context, Delivery, Fetched, Reply, Sink
from connectors.errors import SendError, Unauthorized
from connectors.http import Answer, decoded
from connectors.nonces import Nonces
from connectors.passive_slots import Held
from connectors.passive_webhook import PassiveConnector
from connectors.registry import connector
from connectors.signatures import MAX_AGE_SECS, check_timestamp
from connectors.wechat_api import CODES, SentTemplate, access
from connectors.wechat_config import CAPABILITIES, MINI, WechatConfig
from connectors.wechat_crypto import FORBIDDEN, Crypto, check_signature, signature
from connectors.wechat_identify import Identify
from connectors.wechat_media import LIMITS
from connectors.wechat_probe import probe
from connectors.wechat_stage import stage
from connectors.weixin_client import WeixinClient
from connectors.weixin_media import download, upload
from normalizer.codecs import wechat_xml
from normalizer.codecs.wechat import WechatCodec
from normalizer.codecs.wechat_frame import read
from normalizer.errors import MalformedPayload
from normalizer.methods import Params
from normalizer.model import Security
from normalizer.parts import Media, MediaPart
from normalizer.raw import Outbound, RawEvent, Wire

ALREADY_TYPING = "45081"
_SIGNED, _TOKEN = Security(verified="hmac"), Security(verified="token")


@connector("wechat", WechatConfig, CAPABILITIES)
class WechatConnector(PassiveConnector[WechatConfig]):
    """A WeChat Official Account or mini program, with passive replies and the customer-service API."""

    codec: WechatCodec
    accepted: ClassVar[Reply] = Reply(body=b"success")
    passive_type: ClassVar[str] = "application/xml"

    def __init__(
        self,
        config: WechatConfig,
        context: Context,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- signed times are compared with it
    ) -> None:
        """Take the keys."""
        super().__init__(replace(config, passive_secs=0.0) if config.mini_program else config, context)
        self._clock, self._token = clock, config.token.reveal()
        secret, key = config.app_secret.reveal(), config.encoding_aes_key
        self.hide = (secret, self._token, *(() if key is None else (key.reveal(),)))
        self._crypto = None if key is None else Crypto(key.reveal(), config.app_id)
        self.capabilities = MINI if config.mini_program else CAPABILITIES
        self.codec = WechatCodec(
            None if self._crypto is None else self._decrypt,
            passive_secs=self.config.passive_secs,
            mini=config.mini_program,
        )
        self._nonces = Nonces(context.state, keep_secs=2 * MAX_AGE_SECS, status=FORBIDDEN)
        self._client = WeixinClient(
            context,
            access(config.app_id, secret, stable=config.stable_token),
            base=config.api_base,
            timeout=config.send_timeout_secs,
            hide=self.hide,
        )
        self._identify = Identify(self._client, context) if config.identify and not config.mini_program else None

    @override
    def verify(self, delivery: Delivery) -> Security:
        query, accepts = delivery.query, self.config.accepts
        self._check_time(query)
        if accepts == "plain" or (accepts == "compatible" and "msg_signature" not in query):
            check_signature(query.get("signature"), self._token, query["timestamp"], query.get("nonce", ""))
            return _TOKEN
        try:
            encrypted = wechat_xml.text(read(delivery.body), "Encrypt")
        except MalformedPayload:
            raise Unauthorized("the delivery is not encrypted", FORBIDDEN) from None
        proof = (self._token, query["timestamp"], query.get("nonce", ""), encrypted)
        check_signature(query.get("msg_signature"), *proof)
        if self._crypto is not None and encrypted:
            self._crypto.check_receiver(encrypted)
        return _SIGNED

    def _check_time(self, query: Mapping[str, str]) -> None:
        try:
            check_timestamp(query.get("timestamp"), self._clock())
        except Unauthorized as exc:
            raise Unauthorized(str(exc), FORBIDDEN) from None

    def _opened(self, raw: RawEvent) -> RawEvent:
        """Decrypt a delivery, so that it is kept readable; as it came if it cannot be, for quarantine."""
        try:
            return replace(raw, body=self._decrypt(wechat_xml.text(read(raw.body), "Encrypt")))
        except MalformedPayload:
            return raw

    def _decrypt(self, encrypted: str) -> bytes:
        if self._crypto is None:
            raise MalformedPayload("there is no key")
        try:
            return self._crypto.decrypt(encrypted)
        except Unauthorized as exc:
            raise MalformedPayload(str(exc)) from None

    @override
    def greet(self, delivery: Delivery) -> Reply | None:
        """Answer the handshake: GET, signed like a plain delivery, wants `echostr` back."""
        if delivery.method != "GET":
            return super().greet(delivery)
        query = delivery.query
        self._check_time(query)
        check_signature(query.get("signature"), self._token, query["timestamp"], query.get("nonce", ""))
        return Reply(body=query.get("echostr", "").encode())

    @override
    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        if raw.security is _TOKEN:  # its signature does not cover the body
            await self._nonces.check(f"{delivery.query['timestamp']}:{delivery.query.get('nonce', '')}", raw.body)
        else:
            raw = self._opened(raw)
        reply = await super().deliver(delivery, raw, sink)
        if self._identify is not None:
            self._identify.notice(self.codec.answerable(raw))
        return reply

    @override
    def held(self, delivery: Delivery, raw: RawEvent) -> Held | None:
        found = self.codec.answerable(raw)
        if found is None:
            return None
        info = {**found.info, "aes": "1"} if raw.security is _SIGNED else found.info
        return Held(conversation=found.conversation_id, message=found.message_id, native=found.native, info=info)

    @override
    def say(self, message: Outbound, info: dict[str, str]) -> bytes | None:
        body = self.codec.passive(message, info)
        if body is None or self._crypto is None or "aes" not in info:
            return body
        fields = self._crypto.envelope(body, self._token, int(self._clock()), secrets.token_hex(8))
        return wechat_xml.write({**fields, "TimeStamp": int(fields["TimeStamp"])})

    @override
    async def background(self) -> None:
        if self._identify is None or self._sink is None:
            await asyncio.Event().wait()
        else:
            await self._identify.run(self._sink)

    @override
    async def request(self, wire: Wire) -> Answer:
        return await self._client.call(wire)

    @override
    def provider_id(self, answer: Answer) -> str | None:
        native = decoded(answer, SentTemplate, CODES.provider).msgid
        return None if native is None else str(native)

    @override
    async def stage(self, message: Outbound) -> Outbound:
        return await stage(message, self.staging, self.context.blobs, self.upload_part)

    @override
    async def upload_part(self, part: MediaPart) -> Media:
        return await upload(self._client, part, await self.bytes_of(part.media), LIMITS)

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`."""
        return await download(
            self._client, media, max_bytes=max_bytes, fetch_url=lambda url: self.fetch_url(url, max_bytes=max_bytes)
        )

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`; that we are typing already is a success."""
        try:
            await self.request(self.codec.request(method, params))
        except SendError as exc:
            if exc.provider_code != ALREADY_TYPING:
                raise
        return {}

    async def probe(self) -> dict[str, Any]:
        """See `Prober`."""
        return await probe(self._client, self._handshake)

    async def _handshake(self) -> bool:
        timestamp, nonce, echo = str(int(self._clock())), secrets.token_hex(8), secrets.token_hex(8)
        signed = signature(self._token, timestamp, nonce)
        query = {"signature": signed, "timestamp": timestamp, "nonce": nonce, "echostr": echo}
        reply = await self.handle(Delivery(method="GET", path="", url="", query=query, headers={}, body=b""))
        return reply.status == 200 and reply.body == echo.encode()
