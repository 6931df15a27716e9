"""What a caller is played: given to the child a little ahead of the media clock, and stopped at once when told so."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.sip import wire

AHEAD_FRAMES = 50
"""What the child has in store, a second: a gateway that is busy for less is not heard."""


@dataclass(slots=True, eq=False)
class Piece:
    """One thing to play; `done` is set when it was heard, or stopped."""

    pcm: bytes
    loop: bool = False
    at: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        taken = self.pcm[self.at : self.at + size]
        self.at += len(taken)
        while self.loop and len(taken) < size and self.pcm:
            self.at = min(size - len(taken), len(self.pcm))
            taken += self.pcm[: self.at]
        return taken


class Player:
    """Plays pieces one after the other; `tick` is called with every packet of sound."""

    def __init__(self, send: Callable[[bytes], None], flush: Callable[[], None]) -> None:
        """Give sound to `send`; `flush` makes the child forget what it has."""
        self._send, self._flush = send, flush
        self._queue: deque[Piece] = deque()
        self._ending: list[Piece] = []
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether nothing is being played."""
        return not self._queue and not self._ending

    def play(self, pcm: bytes, *, loop: bool = False, interrupt: bool = True) -> Piece:
        """Play, at once or after what is being played; something that loops ends when something else begins."""
        piece = Piece(pcm + bytes(len(pcm) % 2), loop)
        if interrupt or (self._queue and self._queue[-1].loop):
            self.stop()
        if self._closed or not piece.pcm:
            piece.done.set()
        else:
            self._queue.append(piece)
        return piece

    def stop(self) -> None:
        """Stop what is being played, and what would come after."""
        if not self.idle:
            self._flush()
        self._end([*self._queue, *self._ending])
        self._queue.clear()
        self._ending.clear()

    def close(self) -> None:
        """Play nothing any more: the call is over."""
        self._closed = True
        self._end([*self._queue, *self._ending])
        self._queue.clear()
        self._ending.clear()

    def tick(self, waiting: int) -> None:
        """Fill up what the child has in store, of which `waiting` frames are left."""
        if not waiting and self._ending:
            self._end(self._ending)
            self._ending.clear()
        room = (AHEAD_FRAMES - waiting) * wire.FRAME
        while room > 0 and self._queue:
            piece = self._queue[0]
            taken = piece.take(room)
            room -= len(taken)
            if taken:
                self._send(taken)
            if piece.at >= len(piece.pcm) and not piece.loop:
                self._ending.append(self._queue.popleft())

    @staticmethod
    def _end(pieces: list[Piece]) -> None:
        for piece in pieces:
            piece.done.set()
