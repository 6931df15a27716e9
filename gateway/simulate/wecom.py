"""`omnigate simulate wecom`: what WeCom posts to the callback of an app, encrypted.

https://developer.work.weixin.qq.com/document/path/90930
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from typing_extensions import override

from connectors.wechat_crypto import Crypto, signature
from connectors.wecom import WecomConfig
from connectors.wecom_kf import WecomKfConfig
from gateway.simulate.api import Handshake, Item, Request, Simulator, raw_post
from gateway.simulate.wecom_cloud import WecomCloud
from normalizer.codecs import wechat_xml

XML = "text/xml"
FIRST_ID = 7_000_000_000_000_000
MALFORMED = (
    b"this is not XML",
    b"<xml><FromUserName><![CDATA[simulated]]></FromUserName><MsgType>tex",
    b"<xml><ToUserName>\xff\xfe</ToUserName></xml>",
    b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><xml><Content>&b;</Content></xml>',
    b"<xml>" * 5000 + b"</xml>" * 5000,
)
"""Not XML, cut off, invalid UTF-8, a DTD, too deep."""


def sealed(plain: Request, *, token: str, key: str, corp_id: str, now: float, head: dict[str, Any]) -> Request:
    """Encrypt and sign a delivery as WeCom does, for every kind with such a callback."""
    timestamp, nonce = str(int(now)), secrets.token_hex(5)
    encrypted = Crypto(key, corp_id).encrypt(plain.body)
    body = wechat_xml.write({"ToUserName": corp_id, **head, "Encrypt": encrypted})
    proof = {"msg_signature": signature(token, timestamp, nonce, encrypted), "timestamp": timestamp, "nonce": nonce}
    return raw_post(body, XML).adding(query={**plain.query, **proof})


def handshake(*, token: str, key: str, corp_id: str, now: float) -> Handshake:
    """Ask for an encrypted `echostr`, to be given back in plain."""
    timestamp, nonce, echo = str(int(now)), secrets.token_hex(5), secrets.token_hex(8)
    encrypted = Crypto(key, corp_id).encrypt(echo.encode())
    signed = signature(token, timestamp, nonce, encrypted)
    query = {"msg_signature": signed, "timestamp": timestamp, "nonce": nonce, "echostr": encrypted}
    return Handshake(request=Request(method="GET", query=query), body=echo.encode())


def _message(item: Item, kind: str, **fields: Any) -> dict[str, Any]:
    return {"MsgType": kind, **fields, "MsgId": FIRST_ID + item.number}


def _event(name: str, **fields: Any) -> dict[str, Any]:
    return {"MsgType": "event", "Event": name, **fields}


def _card(item: Item) -> dict[str, Any]:
    chosen = {"QuestionKey": "choice", "OptionIds": {"OptionId": "1"}}
    return _event(
        "template_card_event",
        EventKey="submit",
        TaskId=f"task-{item.number}",
        CardType="vote_interaction",
        ResponseCode=f"code-{item.number}",
        SelectedItems={"SelectedItem": chosen},
    )


_CONTENT: dict[str, Callable[[Item], dict[str, Any]]] = {
    "text": lambda item: _message(item, "text", Content=item.text),
    "image": lambda item: _message(
        item, "image", PicUrl="https://example.com/1.jpg", MediaId=f"simulated-{item.number}"
    ),
    "voice": lambda item: _message(item, "voice", MediaId=f"simulated-{item.number}", Format="amr"),
    "video": lambda item: _message(item, "video", MediaId=f"simulated-{item.number}", ThumbMediaId="simulated-0"),
    "location": lambda item: _message(
        item, "location", Location_X="52.52", Location_Y="13.40", Scale="16", Label="Berlin", AppType="wxwork"
    ),
    "link": lambda item: _message(
        item, "link", Title=item.text, Description="", Url="https://shop.example/", PicUrl=""
    ),
    "enter": lambda item: _event("enter_agent", EventKey=str(item.number)),
    "subscribe": lambda item: _event("subscribe", EventKey=str(item.number)),
    "click": lambda item: _event("click", EventKey=f"menu-{item.number}"),
    "card": _card,
}


K = TypeVar("K", WecomConfig, WecomKfConfig)


class Callbacks(Simulator[K]):
    """Deliveries to a callback of WeCom; the signature covers the time and what is encrypted."""

    tail: ClassVar = b"x"
    signs_time: ClassVar = True

    @override
    def sign(self, request: Request, now: float) -> Request:
        return sealed(request, **self._keys(now), head=self.head())

    def head(self) -> dict[str, Any]:
        """Return the fields that stand in plain beside what is encrypted."""
        return {}

    @override
    def malformed(self, number: int) -> Request:
        return raw_post(MALFORMED[number % len(MALFORMED)], XML)

    @override
    def handshake(self, now: float) -> Handshake:
        return handshake(**self._keys(now))

    def _keys(self, now: float) -> dict[str, Any]:
        options = self.options
        key = options.encoding_aes_key.reveal()
        return {"token": options.token.reveal(), "key": key, "corp_id": options.corp_id, "now": now}


class WecomSimulator(Callbacks[WecomConfig]):
    """One message per request."""

    contents: ClassVar = tuple(_CONTENT)

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write one message or event."""
        (item,) = items
        user = f"simulated{item.person:06d}"
        head = {"ToUserName": self.options.corp_id, "FromUserName": user, "CreateTime": int(item.at)}
        content = {**head, **_CONTENT[item.content](item), "AgentID": self.options.agent_id}
        return raw_post(wechat_xml.write(content), XML)

    @override
    def head(self) -> dict[str, Any]:
        return {"AgentID": str(self.options.agent_id)}


SIMULATOR, CLOUD = WecomSimulator, WecomCloud
