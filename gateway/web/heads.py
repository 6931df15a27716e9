"""Heads of requests that came before, so that the same bytes are not parsed again.

Whoever delivers on a connection that stays open sends the same head again and again; only the length of the body, and
with some providers a signature, differs. What was made of a head is kept here, by its bytes: to find it takes a tenth
of the time of parsing it. A head is kept when it comes for the second time, so those that hold a signature are not.
"""

from __future__ import annotations

from aiohttp import HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from gateway.web.delivery import Head

MOST = 512
"""Heads that are kept; all are let go when there would be more."""
LONGEST = 2048
"""Bytes of a head that is kept."""
SMALL = 65_536
"""Bytes of the body of a plain delivery."""
_END = b"\r\n\r\n"
_UNKNOWN = (None, 0)


class Heads:
    """See the module; one per server."""

    __slots__ = ("_known", "_once")

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[bytes, tuple[Head, int]] = {}  # with the length of the body
        self._once: set[int] = set()  # hashes of heads that came once

    def find(self, data: bytes) -> tuple[Head, bytes] | None:
        """Look up a request that begins where `data` begins, and is all of it.

        Returns:
            its head and its body; None where the head is not known, or `data` is less or more than the request.
        """
        begin = data.find(_END) + len(_END)
        head, length = self._known.get(data[:begin], _UNKNOWN)
        if head is None or len(data) - begin != length:
            return None
        return head, data[begin:]

    def note(self, data: bytes, head: Head, length: int) -> bool:
        """Learn what `data` begins with, whose body is not chunked; before it the parser was between two requests.

        Returns:
            whether `data` is the request with this head and a body of so many bytes, from its first byte to its last.
        """
        begin = data.find(_END) + len(_END)
        if len(data) - begin != length:
            return False
        if begin <= LONGEST:
            self._keep(data[:begin], head, length)
        return True

    def _keep(self, begin: bytes, head: Head, length: int) -> None:
        mark = hash(begin)
        if mark not in self._once:
            if len(self._once) >= 8 * MOST:
                self._once.clear()
            self._once.add(mark)
            return
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[begin] = head, length


def plain(message: RawRequestMessage, payload: StreamReader) -> bool:
    """Tell whether a request is a whole POST with a small body, on a connection that stays open."""
    return (
        message.method == "POST"
        and message.version == HttpVersion11
        and not (message.should_close or message.upgrade or message.compression)
        and payload.is_eof()
        and payload.exception() is None
        and payload.total_bytes <= SMALL
    )


def body_of(payload: StreamReader) -> bytes:
    """Look at a body that is complete and that nobody has read; aiohttp may still want to."""
    return b"".join(payload._buffer) if payload.total_bytes else b""  # noqa: SLF001 -- see `gateway.web.tap.PARTS`
