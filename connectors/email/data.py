"""The mail data of SMTP: take it within limits, find its end, undo the dots (RFC 5321 §4.1.1.4 and §4.5.2)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from connectors.email import replies

END = b"\r\n.\r\n"
_ALL = 16_777_216  # more than a StreamReader ever holds: `read` empties it
_LOOK_ALIKE = re.compile(rb"[\r\n]\.[\r\n]")


class DataReader:
    """Collects chunks until the end of data, which is ``CRLF . CRLF`` and nothing else.

    Beyond `limit` bytes nothing is kept, but the end is still looked for: the refusal has to wait for it.

    Attributes:
        size: bytes so far.
        too_large: nothing of it is kept.
        bare_lf: known once `mail` was called: it has a line feed without a carriage return before it.
    """

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes."""
        self._limit = limit
        self._chunks: list[bytes] = [b"\r\n"]  # the line break that ended the DATA command
        self._tail = b"\r\n"
        self.size = 0
        self.too_large = False
        self.bare_lf = False

    def feed(self, chunk: bytes) -> bytes | None:
        """Add what arrived; returns what follows the end of data, or None while the end has not come."""
        window = self._tail + chunk
        found = window.find(END)
        if found < 0:
            self._tail = window[-(len(END) - 1) :]
            self._keep(chunk)
            return None
        end = found + len(END)
        self._keep(chunk[: max(0, end - len(window) + len(chunk))])
        return window[end:]

    def drop(self) -> None:
        """Keep nothing of this mail."""
        self.too_large = True
        self._chunks = []

    def _keep(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit + len(END):
            self.drop()
        elif not self.too_large:
            self._chunks.append(data)

    def mail(self) -> bytes | None:
        """The mail with its dots undone, once its end was found.

        None when it holds an imitation of the end of data, made of bare CR or LF. Servers that take one for the end
        can be tricked into reading the rest as a second mail with a sender of the attacker's choice ("SMTP smuggling",
        CVE-2023-51764 and others); no program writes it by accident, because a line with a single dot is sent as two.
        """
        data = b"".join(self._chunks)
        self._chunks = []
        breaks, feeds = data.count(b"\r\n"), data.count(b"\n")
        self.bare_lf = feeds != breaks
        if self.bare_lf or data.count(b"\r") != breaks:  # counting is faster than searching, and nearly all are clean
            imitation = _LOOK_ALIKE.search(data, 1)
            if imitation and imitation.start() < len(data) - len(END) + 1:
                return None
        return data[: -len(END) + 2].replace(b"\r\n.", b"\r\n")[2:]


class Intake:
    """One mail on its way in, and the room it takes in the listener's memory until `release`."""

    def __init__(self, limit: int, reserve: Callable[[int], bool]) -> None:
        """Keep at most `limit` bytes, for which `reserve` is asked; see `connectors.email.desk.Desk.reserve`."""
        self._reader, self._reserve = DataReader(limit), reserve
        self._reserved, self._room = 0, True

    async def receive(self, stream: asyncio.StreamReader) -> bool:
        """Take all there is until the end of data; false where the client went away before."""
        rest = None
        while rest is None:
            chunk = await stream.read(_ALL)
            if not chunk:
                return False
            if not self._reader.too_large:
                self._room = self._reserve(len(chunk))
                self._reserved += len(chunk) if self._room else 0
                if not self._room:
                    self._reader.drop()
            rest = self._reader.feed(chunk)
        if rest:
            stream.feed_data(rest)  # pipelined commands; the buffer is empty, so the order stays
        return True

    def mail(self, *, bare_lf: bool) -> bytes | str:
        """Return the mail, or the reply that refuses it; `bare_lf` lets line feeds alone pass."""
        if not self._room:
            return replies.NO_ROOM
        if self._reader.too_large:
            return replies.TOO_LARGE
        body = self._reader.mail()
        if body is None:
            return replies.IMITATION
        if self._reader.bare_lf and not bare_lf:
            return replies.BARE_LF
        return body

    def release(self) -> None:
        """Give the room back."""
        self._reserve(-self._reserved)
        self._reserved = 0
