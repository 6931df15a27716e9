"""`omnigate simulate viber`: callbacks as Viber posts them.

https://developers.viber.com/docs/api/rest-bot-api/#callbacks
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from connectors.viber_config import ViberConfig
from gateway.simulate.api import Handshake, Item, Request, Simulator, json_post, raw_post
from gateway.simulate.viber_cloud import ViberCloud

FIRST_TOKEN = 5_000_000_000_000_000_000
"""Beyond what a floating-point number can tell apart."""

MALFORMED = (
    b"this is not JSON",
    b'{"event":"message","timestamp":1457764197627,"message_token":49126618466552',
    b'{"event":"message","message_token":[],"sender":{"id":"1"}}',
    b'{"event":"message","message_token":1,"sender":{"id":"\xff\xfe"}}',
    b'{"event":"message","message_token":1,"message":' + b"[" * 5000 + b"]" * 5000 + b"}",
)
"""Not JSON, cut off, wrong types, invalid UTF-8, too deep."""


def _user(item: Item) -> dict[str, Any]:
    told = {"name": f"Simulated Person {item.person}", "avatar": "https://avatar.example/1.jpg"}
    return {"id": f"{item.person:022d}==", **told, "country": "DE", "language": "en", "api_version": 10}


def _message(kind: str, **fields: Any) -> Callable[[Item], dict[str, Any]]:
    return lambda item: {
        "event": "message",
        "sender": _user(item),
        "message": {"type": kind, **({"text": item.text} if kind == "text" else {}), **fields},
        "silent": False,
    }


def _about(event: str, **fields: Any) -> Callable[[Item], dict[str, Any]]:
    return lambda item: {"event": event, "user_id": _user(item)["id"], **fields}


_MEDIA = "https://dl-media.viber.example/3/media"
_CONTENT: dict[str, Callable[[Item], dict[str, Any]]] = {
    "text": _message("text"),
    "picture": _message("picture", media=f"{_MEDIA}/1.jpg", thumbnail=f"{_MEDIA}/1s.jpg", file_name="1.jpg"),
    "video": _message("video", media=f"{_MEDIA}/1.mp4", file_name="1.mp4", duration=4, file_size=20_480),
    "file": _message("file", media=f"{_MEDIA}/1.pdf", file_name="offer.pdf", file_size=20_480),
    "sticker": _message("sticker", media="http://content.cdn.viber.com/stickers/40100.png", sticker_id=40100),
    "contact": _message("contact", contact={"name": "Ada", "phone_number": "4930123456"}),
    "url": _message("url", media="https://shop.example/"),
    "location": _message("location", location={"lat": 52.52, "lon": 13.4}),
    "button": lambda item: {**_message("text", text="yes")(item), "silent": True},
    "subscribed": lambda item: {"event": "subscribed", "user": _user(item)},
    "unsubscribed": _about("unsubscribed"),
    "conversation_started": lambda item: {
        "event": "conversation_started",
        "type": "open",
        "context": "simulated",
        "user": _user(item),
        "subscribed": False,
    },
    "delivered": _about("delivered"),
    "seen": _about("seen"),
    "failed": _about("failed", desc="failure description"),
}


class ViberSimulator(Simulator[ViberConfig]):
    """One callback per request; the signature covers the body and no time."""

    contents: ClassVar = tuple(_CONTENT)

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write one callback."""
        (item,) = items
        common = {"timestamp": int(item.at * 1000), "message_token": FIRST_TOKEN + item.number}
        return json_post({**common, "chat_hostname": "SN-CHAT-05_", **_CONTENT[item.content](item)})

    @override
    def sign(self, request: Request, now: float) -> Request:
        """Sign the body with the authentication token."""
        signature = hmac.digest(self.options.token.reveal().encode(), request.body, "sha256").hex()
        return request.adding(headers={"X-Viber-Content-Signature": signature})

    @override
    def malformed(self, number: int) -> Request:
        """Not JSON, cut off, wrong types, invalid UTF-8, too deep."""
        return raw_post(MALFORMED[number % len(MALFORMED)])

    @override
    def handshake(self, now: float) -> Handshake:
        """Do what set_webhook does: post ``webhook``, and want 200."""
        told = {"event": "webhook", "timestamp": int(now * 1000), "message_token": FIRST_TOKEN}
        return Handshake(request=self.sign(json_post(told), now))


SIMULATOR, CLOUD = ViberSimulator, ViberCloud
