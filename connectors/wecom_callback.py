"""How WeCom calls us, the same for all its kinds: always encrypted, always signed.

The signature covers token, time, nonce and what is encrypted; the plain text carries the corp's id. The handshake is
a GET whose `echostr` is encrypted like a delivery and wanted back in plain.
https://developer.work.weixin.qq.com/document/path/90930
https://developer.work.weixin.qq.com/document/path/90968
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping

from msgspec.structs import replace

from connectors.api import Delivery, Reply
from connectors.errors import Unauthorized
from connectors.signatures import check_timestamp
from connectors.wechat_crypto import FORBIDDEN, Crypto, check_signature, signature
from normalizer.codecs import wechat_xml
from normalizer.errors import MalformedPayload
from normalizer.model import Security
from normalizer.raw import RawEvent

SIGNED = Security(verified="hmac")
Handle = Callable[[Delivery], Awaitable[Reply]]


class Callback:
    """Proves, opens and seals what goes over one callback URL."""

    def __init__(self, token: str, encoding_aes_key: str, corp_id: str, clock: Callable[[], float]) -> None:
        """Take the three values of the page "receive messages"; raises `ValueError` for a key that is none."""
        self._token, self._clock = token, clock
        self._crypto = Crypto(encoding_aes_key, corp_id)

    def verify(self, delivery: Delivery) -> Security:
        """Prove a delivery; raises `Unauthorized` (403)."""
        try:
            encrypted = wechat_xml.text(wechat_xml.read(delivery.body), "Encrypt")
        except MalformedPayload:
            encrypted = ""
        if not encrypted:
            raise Unauthorized("the delivery is not encrypted", FORBIDDEN)
        self._prove(delivery.query, encrypted)
        self._crypto.check_receiver(encrypted)
        return SIGNED

    def open(self, raw: RawEvent) -> RawEvent:
        """Decrypt a delivery, so that it is kept readable; as it came if it cannot be, for quarantine."""
        try:
            return replace(raw, body=self.decrypt(wechat_xml.text(wechat_xml.read(raw.body), "Encrypt")))
        except MalformedPayload:
            return raw

    def decrypt(self, encrypted: str) -> bytes:
        """Return the content of ``Encrypt``; raises `MalformedPayload`."""
        try:
            return self._crypto.decrypt(encrypted)
        except Unauthorized as exc:
            raise MalformedPayload(str(exc)) from None

    def seal(self, body: bytes) -> bytes:
        """Encrypt and sign a reply in the HTTP answer."""
        fields = self._crypto.envelope(body, self._token, int(self._clock()), secrets.token_hex(8))
        return wechat_xml.write({**fields, "TimeStamp": int(fields["TimeStamp"])})

    def handshake(self, delivery: Delivery) -> Reply:
        """Answer the handshake; raises `Unauthorized` (403)."""
        encrypted = delivery.query.get("echostr", "")
        self._prove(delivery.query, encrypted)
        try:
            return Reply(body=self._crypto.decrypt(encrypted))
        except MalformedPayload:
            raise Unauthorized("echostr cannot be decrypted; check `encoding_aes_key`", FORBIDDEN) from None

    def _prove(self, query: Mapping[str, str], encrypted: str) -> None:
        timestamp = query.get("timestamp", "")
        try:
            check_timestamp(timestamp, self._clock())
        except Unauthorized as exc:
            raise Unauthorized(str(exc), FORBIDDEN) from None
        check_signature(query.get("msg_signature"), self._token, timestamp, query.get("nonce", ""), encrypted)

    async def rehearse(self, handle: Handle) -> bool:
        """Do the handshake against ourselves; tell whether it went well."""
        echo, nonce, timestamp = secrets.token_hex(8), secrets.token_hex(5), str(int(self._clock()))
        encrypted = self._crypto.encrypt(echo.encode())
        signed = signature(self._token, timestamp, nonce, encrypted)
        query = {"msg_signature": signed, "timestamp": timestamp, "nonce": nonce, "echostr": encrypted}
        reply = await handle(Delivery(method="GET", path="", url="", query=query, headers={}, body=b""))
        return reply.status == 200 and reply.body == echo.encode()
