"""`omnigate simulate webhook`: deliveries of a declarative channel, made by reading its own expressions backwards.

An expression that cannot be read backwards needs an example: ``--extra sample=FILE``, in which ``{n}`` stands for the
number, ``{text}`` for the text and ``{sender}`` for who wrote.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from typing_extensions import override

from connectors.declarative import DeclarativeConfig
from connectors.declarative_options import (
    PLACEHOLDER,
    BasicVerify,
    HmacVerify,
    TokenVerify,
    key_bytes,
)
from gateway.simulate.api import FORM, JSON, Handshake, Item, Request, Simulator, form_post, json_post, raw_post
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route
from gateway.simulate.webhook_inverse import NotInvertible, document_for, merge
from normalizer.codecs.declarative_expr import Expression, Unreadable
from normalizer.codecs.declarative_options import Receive

BATCH_MAX = 100
CHALLENGE = "simulated-challenge"


class WebhookSimulator(Simulator[DeclarativeConfig]):
    """Whatever the channel's `receive` reads, proved as its `verify` wants it."""

    extras: ClassVar[Mapping[str, str]] = {"sample": "a file with one delivery, where expressions cannot be guessed"}

    def __init__(self, options: DeclarativeConfig, *, url: str, extra: Mapping[str, str] | None = None) -> None:
        """Read the expressions backwards; raises `ValueError` when that fails, `OSError` for the sample."""
        super().__init__(options, url=url, extra=extra)
        if options.receive is None:
            raise ValueError("the channel only sends, it receives nothing")
        self._receive = options.receive
        self._sample = Path(self.extra["sample"]).read_text(encoding="utf-8") if "sample" in self.extra else None
        self.signs_body = isinstance(options.verify, HmacVerify)  # type: ignore[misc] # fixed per kind elsewhere
        self.signs_time = isinstance(options.verify, HmacVerify) and bool(options.verify.timestamp_header)  # type: ignore[misc] # as above
        self.batch_max = BATCH_MAX if self._sample is None and _is_list(self._receive) else 1  # type: ignore[misc] # as above
        if self._sample is None:
            _check(self._receive)

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write items where `receive.each` looks for them."""
        if self._sample is not None:
            (item,) = items
            body = self._sample.replace("{n}", str(item.number)).replace("{text}", item.text)
            body = body.replace("{sender}", _sender(item))
            return raw_post(body.encode(), FORM if self._receive.content_type == "form" else JSON)
        made = [_item(self._receive, one) for one in items]
        document = document_for(self._receive.each, made if self.batch_max > 1 else made[0])
        if self._receive.content_type == "form":
            return form_post({name: str(value) for name, value in document.items()})
        return json_post(document)

    @override
    def sign(self, request: Request, now: float) -> Request:
        """Do what `verify` checks."""
        match self.options.verify:
            case HmacVerify() as verify:
                return _hmac(verify, request, now, self.url)
            case TokenVerify(header=header, secret=secret, prefix=prefix):
                return request.adding(headers={header: prefix + secret.reveal()})
            case BasicVerify(user=user, password=password):
                pair = base64.b64encode(f"{user}:{password.reveal()}".encode()).decode()
                return request.adding(headers={"Authorization": f"Basic {pair}"})
            case _:
                return request

    @override
    def handshake(self, now: float) -> Handshake | None:
        """Send a challenge where `handshake` expects it."""
        asked = self.options.handshake
        if asked is None:
            return None
        if asked.query is not None:
            token = {asked.token_query or "": asked.token.reveal()} if asked.token else {}
            request = Request(method="GET", query={asked.query: CHALLENGE, **token})
        else:
            request = self.sign(json_post(document_for(asked.field or "@", CHALLENGE)), now)
        return Handshake(
            request=request, body={"challenge": CHALLENGE} if asked.reply == "json" else CHALLENGE.encode()
        )


def _sender(item: Item) -> str:
    return f"+4930{item.person:07}"


def _item(receive: Receive, item: Item) -> Any:
    said = next((word for word, ours in receive.methods.items() if ours == "message.received"), "message.received")
    wanted: dict[str, Any] = {
        "sender_name": f"Simulated Person {item.person}",
        "sent_at": int(item.at),
        "method": said,
        "text": item.text,
        "sender": _sender(item),
        **({} if item.spoilt else {"id": str(item.number)}),
    }
    made: Any = None
    for name, value in wanted.items():
        expression = getattr(receive, name)
        try:
            made = merge(made, document_for(expression, value)) if expression is not None else made
        except NotInvertible:
            continue
    return made


def _is_list(receive: Receive) -> bool:
    try:
        found = Expression(receive.each, "each")(document_for(receive.each, [{"x": 1}, {"x": 2}]))
    except NotInvertible:
        return False
    return bool(found == [{"x": 1}, {"x": 2}]) and receive.each != "@"


def _check(receive: Receive) -> None:
    made = _item(receive, Item(number=1, at=1.0))
    lacking = [name for name in ("id", "sender") if _find(getattr(receive, name), made) is None]
    try:
        document_for(receive.each, made)
    except NotInvertible:
        lacking.append("each")
    if lacking:
        raise ValueError(f"receive.{lacking[0]} cannot be read backwards; give an example: --extra sample=FILE")


def _find(expression: str, document: Any) -> Any:
    try:
        return Expression(expression, "")(document)
    except Unreadable:
        return None


def _hmac(verify: HmacVerify, request: Request, now: float, url: str) -> Request:
    stamp = str(int(now))
    pieces = PLACEHOLDER.split(verify.payload)
    named = {name.removeprefix("header."): _nonce(request) for name in pieces[1::2] if name.startswith("header.")}
    parts = urlsplit(url)
    known = {
        "body": request.body,
        "timestamp": stamp.encode(),
        "method": request.method.encode(),
        "url": (parts.path + (f"?{parts.query}" if parts.query else "")).encode(),
        **{f"header.{name}": value.encode() for name, value in named.items()},
    }
    payload = b"".join(known[piece] if index % 2 else piece.encode() for index, piece in enumerate(pieces))
    digest = hmac.digest(key_bytes(verify.secret, verify.secret_encoding), payload, verify.algorithm)
    written = digest.hex() if verify.encoding == "hex" else base64.b64encode(digest).decode()
    headers = {**named, verify.header: verify.prefix + written}
    if verify.timestamp_header is not None:
        shared = verify.timestamp_header.lower() == verify.header.lower()
        value = f"{verify.timestamp_prefix}{stamp}"
        headers[verify.timestamp_header] = f"{value},{headers[verify.header]}" if shared else value
    return request.adding(headers=headers)


def _nonce(request: Request) -> str:
    return f"msg_{hashlib.sha256(request.body).hexdigest()[:24]}"


class WebhookCloud(Cloud):
    """Takes any request and answers with an id where the channel's `send.id` looks for it."""

    @route("*", "/{path:.*}")
    def take(self, call: Call) -> Answer:
        """Accept."""
        native = self.next_id("simulated-")
        send = self.options.send if isinstance(self.options, DeclarativeConfig) else None
        if send is None or send.id is None:
            return json_answer({"id": native})
        try:
            return json_answer(document_for(send.id, native))
        except NotInvertible:
            return json_answer({"id": native})


SIMULATOR, CLOUD = WebhookSimulator, WebhookCloud
