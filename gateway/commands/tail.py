"""`omnigate tail`: what the gateway tells, one JSON object per line, taken from nobody."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from typing import TextIO

import msgspec

from gateway.broker.api import Broker, BrokerUnavailable, Delivery
from gateway.commands.console import warn
from normalizer.methods import topic_word

RECONNECT_SECS = 60.0
WILD = frozenset("*?[")


async def tail(
    broker: Broker,
    *,
    method: str | None = None,
    channel: str | None = None,
    count: int | None = None,
    from_start: bool = False,
    out: TextIO | None = None,
) -> None:
    """Write notifications to `out`, flushed line by line, until `count` were written.

    A lost connection is awaited and said on stderr: copies of what is published meanwhile are not to be had.

    Args:
        broker: a running broker.
        method: only methods that match this glob (``message.*``).
        channel: only this channel.
        count: stop after so many; None goes on for ever.
        from_start: begin with the history the broker keeps.
        out: where to write; stdout if not given.

    Raises:
        BrokerUnavailable: the broker is away for longer than a minute.
        ValueError: `from_start`, and the broker keeps no history; says what to do.
    """
    out, written = out or sys.stdout, 0
    while count is None or written < count:
        try:
            async with broker.watch(binding(method, channel), from_start=from_start) as events:
                async for event in events:
                    written += _write(event, method, channel, out)
                    if written == count:
                        return
        except BrokerUnavailable as exc:
            warn(f"connection lost ({exc}); events until it is back are not shown")
            if not await broker.wait_ready(RECONNECT_SECS):
                raise
        from_start = False


def binding(method: str | None, channel: str | None) -> str:
    """Return the narrowest binding key that covers a method glob and a channel."""
    words: list[str] = []
    for word in (method or "*").split("."):
        if WILD & set(word):  # a glob's `*` also stands for dots
            words.append("#")
            break
        words.append(word)
    return ".".join(("v1", "*", topic_word(channel) if channel else "*", *words))


def _write(event: Delivery, method: str | None, channel: str | None, out: TextIO) -> int:
    if method is not None and not fnmatchcase(event.method or "", method):
        return 0
    if channel is not None and event.headers.get("channel_id", channel) != channel:
        return 0  # another id that looks the same in a routing key
    try:
        line = msgspec.json.format(event.body, indent=-1)
    except msgspec.DecodeError:
        warn(f"skipped one event with the routing key {event.routing_key}: it is not JSON")
        return 0
    out.write(line.decode(errors="replace") + "\n")
    out.flush()
    return 1
