"""`omnigate simulate wechat`: what WeChat posts for an Official Account, plain or encrypted as the channel wants it.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from connectors.wechat_config import WechatConfig
from connectors.wechat_crypto import Crypto, signature
from gateway.simulate.api import Handshake, Item, Request, Simulator, raw_post
from gateway.simulate.wechat_cloud import WechatCloud
from normalizer.codecs import wechat_xml

XML = "text/xml"
ACCOUNT = "gh_simulated0001"
FIRST_ID = 20_000_000_000_000_000
MALFORMED = (
    b"this is not XML",
    b"<xml><FromUserName><![CDATA[oSimulated]]></FromUserName><MsgType>tex",
    b"<xml><ToUserName>\xff\xfe</ToUserName></xml>",
    b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><xml><Content>&b;</Content></xml>',
    b"<xml>" * 5000 + b"</xml>" * 5000,
)
"""Not XML, cut off, invalid UTF-8, a DTD, too deep."""


def _message(item: Item, kind: str, **fields: Any) -> dict[str, Any]:
    return {"MsgType": kind, **fields, "MsgId": FIRST_ID + item.number}


def _event(name: str, **fields: Any) -> dict[str, Any]:
    return {"MsgType": "event", "Event": name, **fields}


def _media(item: Item) -> str:
    return f"simulated-{item.number}"


_CONTENT: dict[str, Callable[[Item], dict[str, Any]]] = {
    "text": lambda item: _message(item, "text", Content=item.text),
    "image": lambda item: _message(item, "image", PicUrl="https://mmbiz.qpic.example/1.jpg", MediaId=_media(item)),
    "voice": lambda item: _message(item, "voice", MediaId=_media(item), Format="amr"),
    "video": lambda item: _message(item, "video", MediaId=_media(item), ThumbMediaId=f"thumb-{item.number}"),
    "location": lambda item: _message(
        item, "location", Location_X="52.52", Location_Y="13.40", Scale="16", Label="Berlin"
    ),
    "link": lambda item: _message(item, "link", Title=item.text, Description="", Url="https://shop.example/"),
    "subscribe": lambda item: _event("subscribe", EventKey=f"qrscene_{item.number}", Ticket="simulated"),
    "unsubscribe": lambda item: _event("unsubscribe", EventKey=f"simulated-{item.number}"),
    "scan": lambda item: _event("SCAN", EventKey=str(item.number), Ticket="simulated"),
    "click": lambda item: _event("CLICK", EventKey=f"menu-{item.number}"),
    "template": lambda item: _event("TEMPLATESENDJOBFINISH", MsgID=item.number, Status="success"),
}


class WechatSimulator(Simulator[WechatConfig]):
    """One message per request; the plain signature covers a time and a nonce, and not the body."""

    contents: ClassVar = tuple(_CONTENT)
    signs_body: ClassVar = False
    signs_time: ClassVar = True
    knows_nonce: ClassVar = True
    idle: ClassVar = frozenset({"signature"})

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write one message or event."""
        (item,) = items
        head = {"ToUserName": ACCOUNT, "FromUserName": f"oSimulated{item.person:06d}", "CreateTime": int(item.at)}
        return raw_post(wechat_xml.write({**head, **_CONTENT[item.content](item)}), XML)

    @override
    def sign(self, request: Request, now: float) -> Request:
        """Sign token, time and nonce; in safe mode encrypt the body and sign that, too."""
        token, timestamp, nonce = self.options.token.reveal(), str(int(now)), secrets.token_hex(5)
        query = {"signature": signature(token, timestamp, nonce), "timestamp": timestamp, "nonce": nonce}
        key = self.options.encoding_aes_key
        if self.options.accepts == "plain" or key is None:
            return request.adding(query=query)
        encrypted = Crypto(key.reveal(), self.options.app_id).encrypt(request.body)
        body = wechat_xml.write({"ToUserName": ACCOUNT, "Encrypt": encrypted})
        proof = {"encrypt_type": "aes", "msg_signature": signature(token, timestamp, nonce, encrypted)}
        return raw_post(body, XML).adding(query={**request.query, **query, **proof})

    @override
    def malformed(self, number: int) -> Request:
        return raw_post(MALFORMED[number % len(MALFORMED)], XML)

    @override
    def handshake(self, now: float) -> Handshake:
        """Ask for `echostr`, signed like a plain delivery in every mode."""
        token, timestamp, nonce, echo = (
            self.options.token.reveal(),
            str(int(now)),
            secrets.token_hex(5),
            secrets.token_hex(8),
        )
        query = {
            "signature": signature(token, timestamp, nonce),
            "timestamp": timestamp,
            "nonce": nonce,
            "echostr": echo,
        }
        return Handshake(request=Request(method="GET", query=query), body=echo.encode())


SIMULATOR, CLOUD = WechatSimulator, WechatCloud
