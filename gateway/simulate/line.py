"""`omnigate simulate line`: events as LINE posts them.

https://developers.line.biz/en/reference/messaging-api/#webhooks
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from connectors.line_config import LineConfig
from gateway.simulate.api import Handshake, Item, Request, Simulator, json_post, raw_post
from gateway.simulate.line_cloud import BOT, LineCloud

BATCH_MAX = 100
FIRST_MESSAGE = 460_000_000_000_000_000
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

MALFORMED = (
    b"this is not JSON",
    b'{"destination":"U0","events":[{"type":"message","message":{"type":"te',
    b'{"destination":"U0","events":{"type":"message"}}',
    b'{"destination":"\xff\xfe","events":[]}',
    b'{"destination":"U0","events":' + b"[" * 5000 + b"]" * 5000 + b"}",
)
"""Not JSON, cut off, wrong types, invalid UTF-8, too deep."""


def ulid(number: int) -> str:
    """Write a number as LINE writes the ids of events (Crockford's Base32, 26 characters)."""
    digits = ""
    for _ in range(24):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return f"01{digits}"


def _message(item: Item, kind: str, **fields: Any) -> dict[str, Any]:
    tokens = {"quoteToken": f"quote-{item.number}", "markAsReadToken": f"read-{item.number}"}
    return {"message": {"type": kind, "id": str(FIRST_MESSAGE + item.number), **tokens, **fields}}


_BY_LINE = {"contentProvider": {"type": "line"}}
_CONTENT: dict[str, Callable[[Item], tuple[str, dict[str, Any]]]] = {
    "text": lambda item: ("message", _message(item, "text", text=item.text)),
    "image": lambda item: ("message", _message(item, "image", **_BY_LINE)),
    "video": lambda item: ("message", _message(item, "video", duration=4000, **_BY_LINE)),
    "audio": lambda item: ("message", _message(item, "audio", duration=4000, **_BY_LINE)),
    "file": lambda item: ("message", _message(item, "file", fileName="offer.pdf", fileSize=20_480)),
    "sticker": lambda item: (
        "message",
        _message(item, "sticker", packageId="446", stickerId="1988", stickerResourceType="STATIC"),
    ),
    "location": lambda item: (
        "message",
        _message(item, "location", title="Office", address="Berlin", latitude=52.52, longitude=13.4),
    ),
    "postback": lambda _: ("postback", {"postback": {"data": "yes"}}),
    "follow": lambda _: ("follow", {"follow": {"isUnblocked": False}}),
    "unfollow": lambda _: ("unfollow", {}),
    "unsend": lambda item: ("unsend", {"unsend": {"messageId": str(FIRST_MESSAGE + item.number)}}),
    "beacon": lambda _: ("beacon", {"beacon": {"hwid": "d41d8cd98f", "type": "enter"}}),
}
UNANSWERABLE = frozenset({"unfollow", "unsend"})


class LineSimulator(Simulator[LineConfig]):
    """Events of several people in one delivery; the signature covers the body and no time."""

    contents: ClassVar = tuple(_CONTENT)
    batch_max: ClassVar = BATCH_MAX

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write one event per item."""
        return json_post({"destination": BOT, "events": [self._event(item) for item in items]})

    def _event(self, item: Item) -> dict[str, Any]:
        kind, content = _CONTENT[item.content](item)
        answerable = {} if item.content in UNANSWERABLE else {"replyToken": f"{item.number:032x}"}
        return {
            "type": kind,
            **answerable,
            "mode": "active",
            "timestamp": int(item.at * 1000),
            "source": {"type": "user", "userId": f"U{item.person:032x}"},
            "webhookEventId": item.number if item.spoilt else ulid(item.number),
            "deliveryContext": {"isRedelivery": False},
            **content,
        }

    @override
    def again(self, request: Request, attempt: int) -> Request:
        """Say of each event that it is delivered again."""
        body = msgspec.json.decode(request.body)
        for event in body["events"]:
            event["deliveryContext"] = {"isRedelivery": True}
        return replace(request, body=msgspec.json.encode(body))

    @override
    def sign(self, request: Request, now: float) -> Request:
        """Sign the body with the channel secret."""
        secret = self.options.channel_secret.reveal().encode()
        signature = base64.b64encode(hmac.digest(secret, request.body, "sha256")).decode()
        return request.adding(headers={"x-line-signature": signature})

    @override
    def malformed(self, number: int) -> Request:
        """Not JSON, cut off, wrong types, invalid UTF-8, too deep."""
        return raw_post(MALFORMED[number % len(MALFORMED)])

    @override
    def handshake(self, now: float) -> Handshake:
        """Press "Verify": a signed delivery without events."""
        return Handshake(request=self.sign(json_post({"destination": BOT, "events": []}), now))


SIMULATOR, CLOUD = LineSimulator, LineCloud
