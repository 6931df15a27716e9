"""The child's end of the socket."""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from connectors.sip import wire


class Link:
    """Sends events, which are never dropped, and sound, which is when the parent is behind.

    Attributes:
        lost: packets of sound that found no room.
        closed: the parent is gone.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take over `sock`."""
        self._sock, self._backlog = sock, deque[bytes]()
        self.lost, self.closed = 0, False

    def fileno(self) -> int:
        """Return the number of the socket."""
        return self._sock.fileno()

    def tell(self, what: str, call: int = 0, **content: Any) -> None:
        """Send an event."""
        self._backlog.append(wire.event(call, {"ev": what, **content}))
        self.flush()

    def sound(self, call: int, waiting: int, pcm: bytes) -> None:
        """Send a packet of sound; on the media clock's thread."""
        try:
            head = wire.HEAD.pack(b"P", call) + wire.SOUND.pack(waiting, time.monotonic())
            self._sock.send(head + pcm, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self.lost += 1
        except OSError:
            self.closed = True

    def note(self, level: int, text: str) -> None:
        """Send a line of PJSIP's log, from any thread, if there is room."""
        with suppress(OSError):
            self._sock.send(wire.event(0, {"ev": "log", "level": level, "text": text.rstrip()}), socket.MSG_DONTWAIT)

    def flush(self) -> None:
        """Send what waits, in order; on the main thread."""
        while self._backlog:
            try:
                self._sock.send(self._backlog[0], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            self._backlog.popleft()

    def received(self) -> Iterator[tuple[bytes, int, bytes]]:
        """Yield what came: letter, call, content; at most as much as does not keep the calls waiting."""
        for _ in range(64):
            try:
                data = self._sock.recv(wire.MOST, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.closed = True
                return
            kind, call = wire.HEAD.unpack_from(data)
            yield kind, call, data[wire.HEAD.size :]

    def first(self) -> dict[str, Any]:
        """Wait for the configuration."""
        return self.parsed(self._sock.recv(wire.MOST)[wire.HEAD.size :])

    @staticmethod
    def parsed(content: bytes) -> dict[str, Any]:
        """Read a command."""
        made: dict[str, Any] = json.loads(content)
        return made
