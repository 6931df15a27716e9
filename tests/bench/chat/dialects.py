"""How the subjects are spoken to: what a visitor says to them, and how the core answers."""

from __future__ import annotations

import itertools
import time
from typing import Any, NamedTuple, Protocol

import msgspec

_encode = msgspec.json.Encoder().encode
_ids = itertools.count(1)


BUSY = ""
"""What stands for a visitor's name when the server asks to try again."""


class Heard(NamedTuple):
    """What a text from the server means; one of the three.

    Attributes:
        session: the greeting was answered, by the name of the visitor, or by `BUSY`.
        acked: a message is durable; False when it was refused.
        answer: the time that stands in an answer of the core, nanoseconds of the monotonic clock.
    """

    session: str | None = None
    acked: bool | None = None
    answer: int | None = None


class Dialect(Protocol):
    """See the module.

    Attributes:
        path: of the WebSocket.
        exchange: where the core's answers are published.
        routing_key: of these.
    """

    path: str
    exchange: str
    routing_key: str

    def hello(self) -> bytes:
        """Write the first text."""
        ...

    def message(self) -> bytes:
        """Write a new message of a visitor."""
        ...

    def heard(self, text: bytes) -> Heard:
        """Read a text."""
        ...

    def answer(self, session: str) -> bytes:
        """Write what the core publishes: an answer, with the time."""
        ...


def _text() -> str:
    return f"at {time.monotonic_ns()} | It left our warehouse this morning, here is the link to follow it."


def _time_in(text: str) -> int | None:
    word = text.split(" ", 2)
    return int(word[1]) if word[0] == "at" else None


class Omnigate(Dialect):
    """The gateway's own protocol (`connectors/chat/PROTOCOL.md`)."""

    path = "/chat/web/ws"
    exchange = "gw.commands"
    routing_key = "v1.web.message.send"

    def hello(self) -> bytes:
        """See `Dialect`."""
        page = {"url": "https://shop.example/cart", "title": "Cart"}
        return _call("hello", {"protocol": 1, "page": page, "locale": "de"})

    def message(self) -> bytes:
        """See `Dialect`."""
        number = next(_ids)
        return _call("message.send", {"id": f"c{number}", "text": f"Where is my order number {number}?"}, number)

    def heard(self, text: bytes) -> Heard:
        """See `Dialect`."""
        told: dict[str, Any] = msgspec.json.decode(text)
        if told.get("id") == 0:
            return Heard(session=told["result"]["conversation"] if "result" in told else BUSY)
        if "id" in told:
            return Heard(acked="result" in told)
        message = told["params"].get("message", {})
        return Heard(answer=_time_in(message.get("text", "")) if told["method"] == "message" else None)

    def answer(self, session: str) -> bytes:
        """See `Dialect`."""
        params = {"channel": "web", "to": session, "text": _text()}
        return _encode({"jsonrpc": "2.0", "method": "message.send", "params": params})


class Plain(Dialect):
    """That of `peers/plain_chat.py`."""

    path = "/"
    exchange = ""
    routing_key = "answers"

    def hello(self) -> bytes:
        """See `Dialect`."""
        return b"{}"

    def message(self) -> bytes:
        """See `Dialect`."""
        number = next(_ids)
        return _encode({"id": f"c{number}", "text": f"Where is my order number {number}?"})

    def heard(self, text: bytes) -> Heard:
        """See `Dialect`."""
        told: dict[str, Any] = msgspec.json.decode(text)
        if "session" in told:
            return Heard(session=told["session"])
        return Heard(acked=True) if "ok" in told else Heard(answer=_time_in(told["text"]))

    def answer(self, session: str) -> bytes:
        """See `Dialect`."""
        return _encode({"to": session, "text": _text()})


DIALECTS: dict[str, type[Dialect]] = {"omnigate": Omnigate, "plain": Plain}


def _call(method: str, params: dict[str, Any], number: int = 0) -> bytes:
    return _encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
