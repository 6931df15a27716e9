"""A webhook channel that is described by its configuration: JMESPath in, JMESPath out.

Limits: JSON or forms, one request per message, no arithmetic. Beyond that write a codec, it is some forty lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from normalizer.codecs.declarative_events import VERSION
from normalizer.codecs.declarative_expr import Expression, Unreadable
from normalizer.codecs.declarative_options import Receive, Send
from normalizer.codecs.declarative_receive import Reader
from normalizer.codecs.declarative_send import Writer
from normalizer.codecs.declarative_values import text, word
from normalizer.errors import MalformedPayload, Unsendable
from normalizer.raw import Decoded, Outbound, RawEvent, Wire

S = TypeVar("S")
T = TypeVar("T")


class DeclarativeCodec:
    """See `Codec`; everything is compiled here, so a typo is found when the configuration is read."""

    version = VERSION

    def __init__(self, receive: Receive | None, send: Send | None) -> None:
        """Compile both tables; raises `ValueError` that names every faulty option, in one line."""
        problems: list[str] = []
        self._reader = _built(Reader, receive, problems)
        self._writer = _built(Writer, send, problems)
        self._answer = _built(Answers, send, problems)
        if problems:
            raise ValueError("; ".join(problems))

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Interpret a delivery by `receive`; raises `MalformedPayload`."""
        if self._reader is None:
            raise MalformedPayload("this channel only sends: it has no receive table")
        return self._reader.read(raw)

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message by `send`; raises `Unsendable`."""
        if self._writer is None:
            raise Unsendable(str(message.parts[0].__struct_config__.tag) if message.parts else "text")
        return (self._writer.write(message),)

    def answer(self, body: bytes) -> tuple[str | None, str | None]:
        """Read the provider's answer to an accepted request: its id of the message, and why it refused, each or None.

        Never raises: the provider has the message, and sending it again would make it two.
        """
        return self._answer.read(body) if self._answer else (None, None)


class Answers:
    """Reads answers by `send.id`, `send.failed` and `send.error`."""

    def __init__(self, options: Send) -> None:
        """Compile; raises `ValueError` that names the option."""
        self._id, self._failed, self._error = (
            Expression(source, f"$.send.{name}") if source is not None else None
            for name, source in (("id", options.id), ("failed", options.failed), ("error", options.error))
        )

    def read(self, body: bytes) -> tuple[str | None, str | None]:
        """See `DeclarativeCodec.answer`."""
        try:
            answer = msgspec.json.decode(body)
            if self._failed and self._failed.true(answer):
                reason = text(self._error(answer), self._error.path) if self._error else None
                return None, reason or "the provider gave no reason"
            return (word(self._id(answer), self._id.path) if self._id else None), None
        except (msgspec.DecodeError, Unreadable, UnicodeDecodeError, RecursionError):
            return None, None


def _built(shape: Callable[[S], T], options: S | None, problems: list[str]) -> T | None:
    try:
        return None if options is None else shape(options)
    except ValueError as exc:
        problems.append(str(exc))
        return None
