"""A tap on aiohttp's parser: what takes the short way (`gateway.web.direct`) is kept from aiohttp."""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol, TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

Message: TypeAlias = "tuple[RawRequestMessage, StreamReader]"
Parsed: TypeAlias = "tuple[list[Message], bool, bytes]"

PARTS = frozenset({
    "_buffer_paused", "_close", "_force_close", "_handler_waiter", "_keepalive_handle", "_keepalive_timeout",
    "_messages", "_next_keepalive_close_time", "_parser", "_pause_reading_for_buffer", "_process_keepalive",
    "_reading_paused", "_request_factory", "_request_in_progress", "_waiter",
})  # fmt: skip


@cache
def possible() -> bool:
    """Tell whether this release of aiohttp has what the short way needs."""
    known = {name for kind in web.RequestHandler.__mro__ for name in vars(kind)}
    return known >= PARTS and "_buffer" in vars(StreamReader)


class Offered(Protocol):
    """The connection, see `ShortWay`."""

    busy: bool
    theirs: bool
    whole: bool

    def offer(self, messages: list[Message], data: bytes | None, *, upgraded: bool) -> bool:
        """Take what was parsed, or leave it to aiohttp."""
        ...


class Tap:
    """Stands in for a connection's parser, and keeps from aiohttp what takes the short way."""

    def __init__(self, parser: Any, connection: Offered) -> None:
        """Ask `parser`, offer to `connection`."""
        self._feed, self._connection = parser.feed_data, connection
        self.taken = parser.message_consumed
        self.fault: HttpProcessingError | None = None
        self.feed_eof, self.pause_reading, self.set_upgraded = (
            parser.feed_eof,
            parser.pause_reading,
            parser.set_upgraded,
        )

    def feed_data(self, data: bytes) -> Parsed:
        """Parse; raises what the parser raises."""
        busy, whole = self._connection.busy, self._connection.whole
        self._connection.whole = False  # unless `offer` finds that it still is
        if self.fault is not None:
            if busy:
                return [], False, b""
            fault, self.fault = self.fault, None
            raise fault
        try:
            found: Parsed = self._feed(data)
        except HttpProcessingError as exc:
            if not busy:
                raise
            self.fault = exc  # refused after the answer to what came before it
            return [], False, b""
        if found[0] and self._connection.offer(found[0], data if whole else None, upgraded=found[1]):
            return [], found[1], found[2]
        return found

    def message_consumed(self) -> None:
        """Note that aiohttp begins with a request."""
        self._connection.theirs = True
        self.taken()
