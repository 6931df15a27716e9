"""A WebSocket client that costs little, so that what is measured is the other side (RFC 6455, RFC 7692)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable

from typing_extensions import override

_HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
_TEXT, _CLOSE, _PING = 1, 8, 9
_TAIL = b"\0\0\xff\xff"
_DEFLATED = 0xC1
_WINDOW_BITS = 12
"""Of what is sent; both subjects must be able to inflate it, and it is the smaller window of the two."""


class Wire(asyncio.Protocol):
    """One connection; it answers pings, and offers compression as browsers do."""

    def __init__(self, path: str, heard: Callable[[bytes], None]) -> None:
        """Ask for `path`; `heard` gets each text."""
        self._path, self._heard = path, heard
        self._buffer, self._opened = bytearray(), False
        self._inflate: zlib._Decompress | None = None
        self._afresh = False
        self._transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_HANDSHAKE.format(path=self._path).encode())

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("closed in the handshake"))

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._opened and not self._open():
            return
        while (frame := self._frame()) is not None:
            self._take(*frame)

    def send(self, text: bytes) -> None:
        """Send a text, compressed."""
        deflate = zlib.compressobj(wbits=-_WINDOW_BITS, memLevel=5)
        packed = deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH)
        self._write(_DEFLATED, packed[:-4])

    def close(self) -> None:
        """Cut it off."""
        if self._transport is not None:
            self._transport.abort()

    def _open(self) -> bool:
        head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(b"HTTP/1.1 101") or b"permessage-deflate" not in head:
            self.ready.set_exception(ConnectionError(head.decode(errors="replace")))
            self.close()
            return False
        self._afresh = b"server_no_context_takeover" in head
        self._opened, self._buffer = True, bytearray(rest)
        self.ready.set_result(None)
        return True

    def _frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        start, length = 2, buffer[1]
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + length:
            return None
        first, body = buffer[0], bytes(buffer[start : start + length])
        del buffer[: start + length]
        return first, body

    def _take(self, first: int, body: bytes) -> None:
        code = first & 15
        if code == _TEXT:
            self._heard(self._inflated(body) if first & 64 else body)
        elif code == _PING:
            self._write(0x8A, body)
        elif code == _CLOSE:
            self._write(0x88, body)
            self.close()

    def _inflated(self, body: bytes) -> bytes:
        if self._inflate is None or self._afresh:
            self._inflate = zlib.decompressobj(-15)
        return self._inflate.decompress(body + _TAIL)

    def _write(self, first: int, body: bytes) -> None:
        """Write a frame; the mask is zero, which leaves the payload as it is."""
        length = len(body)
        size = bytes([128 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
        if self._transport is not None:
            self._transport.write(bytes([first]) + size + bytes(4) + body)
