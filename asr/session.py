"""One voice, as the parent sees it: takes sound without ever waiting, gives text."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from asr import wire
from asr.errors import AsrError, Unavailable
from asr.sound import BYTES
from normalizer.parts import Segment


class Limits(Struct, frozen=True, kw_only=True):
    """How patient a session is.

    Attributes:
        buffer_secs: how far a recogniser may be behind; what comes then is missed.
        missed_secs: with so much missed the session ends.
        final_secs: how long the last word may take after `finish`.
    """

    buffer_secs: float = 5.0
    missed_secs: float = 5.0
    final_secs: float = 3.0


class Link(Protocol):
    """The way to a worker."""

    def order(self, message: wire.Message) -> None:
        """Send anything but sound; dropped when the worker is gone."""
        ...

    def sound(self, session: int, pcm: bytes) -> None:
        """Send a piece of sound."""
        ...


class Session:
    """See the module; a `connectors.speech.Listener` but for its errors, which are those of `asr.errors`.

    Memory is bounded: at most `Limits.buffer_secs` of sound are on their way to the recogniser, and of partials that
    nobody has taken only the latest is kept.
    """

    def __init__(
        self,
        link: Link,
        order: wire.Open,
        limits: Limits,
        *,
        on_missed: Callable[[int], None],
        on_end: Callable[[], None],
    ) -> None:
        """Begin; `on_missed` is told milliseconds, `on_end` when the worker has no more to do with it."""
        self.order, self._link, self._limits = order, link, limits
        self._on_missed, self._on_end = on_missed, on_end
        self._per_ms = order.rate * BYTES / 1000
        self._sent = self._done = 0  # bytes
        self._missed = 0.0  # milliseconds
        self._gaps: tuple[list[float], list[float]] = (
            [],
            [],
        )  # where (in what was sent), how much so far
        self._heard: deque[Segment] = deque()
        self._pending: Segment | None = None  # the last partial without its final
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._finished = self._ended = False
        self._error: AsrError | None = None
        self._cap: asyncio.TimerHandle | None = None
        link.order(order)

    @property
    def missed_ms(self) -> int:
        """How much sound was not recognised because the recogniser could not keep up."""
        return round(self._missed)

    @property
    def behind_ms(self) -> float:
        """How much sound is still to be recognised."""
        return (self._sent - self._done) / self._per_ms

    @property
    def waiting(self) -> bool:
        """Whether the worker has something to do for it."""
        return not self._ended and (self._finished or self._sent > self._done)

    def feed(self, pcm: bytes) -> None:
        """Take sound; see `connectors.speech.Listener.feed`."""
        pcm = pcm[: len(pcm) // BYTES * BYTES]
        if self._ended or self._finished or not pcm:
            return
        length = len(pcm) / self._per_ms
        if self.behind_ms + length > self._limits.buffer_secs * 1000:
            self._miss(length)
            return
        self._send(pcm)

    async def give(self, pcm: bytes) -> None:
        """Take sound that can wait: returns when the recogniser is less than `buffer_secs` behind."""
        for start in range(0, len(pcm), wire.PIECE_BYTES):
            while not self._ended and self.behind_ms > self._limits.buffer_secs * 1000:
                self._room.clear()
                await self._room.wait()
            if self._ended:
                return
            self._send(pcm[start : start + wire.PIECE_BYTES])

    def finish(self) -> None:
        """Say that no more sound comes; a live session has its last word within `final_secs`."""
        if self._ended or self._finished:
            return
        self._finished = True
        self._link.order(wire.Finish(self.order.session))
        if self.order.live:
            self._cap = asyncio.get_running_loop().call_later(self._limits.final_secs, self._give_up_waiting)

    def close(self) -> None:
        """Let go at once; what was heard and not taken is forgotten."""
        self._heard.clear()
        if not self._ended:
            self._link.order(wire.Close(self.order.session))
            self.end()

    async def __aiter__(self) -> AsyncIterator[Segment]:
        """Go through what is heard; raises `Unavailable` when the recogniser died or fell behind for good."""
        while True:
            while self._heard:
                yield self._heard.popleft()
            if self._ended:
                if self._error is not None:
                    raise self._error
                return
            self._news.clear()
            await self._news.wait()

    def hear(self, segment: Segment) -> None:
        """Take what the worker heard."""
        segment = self._in_time(segment)
        if self._heard and not self._heard[-1].stable:
            self._heard.pop()  # nobody saw it, and this one says more
        self._pending = None if segment.stable else segment
        self._heard.append(segment)
        self._news.set()

    def progress(self, taken: int) -> None:
        """Note that the worker has done so many bytes more."""
        self._done += taken
        self._room.set()

    def end(self, error: AsrError | None = None) -> None:
        """Note that nothing more comes."""
        if self._ended:
            return
        self._ended, self._error = True, error
        if self._cap is not None:
            self._cap.cancel()
        self._keep_pending()
        self._news.set()
        self._room.set()
        self._on_end()

    def _send(self, pcm: bytes) -> None:
        self._sent += len(pcm)
        for start in range(0, len(pcm), wire.PIECE_BYTES):
            self._link.sound(self.order.session, pcm[start : start + wire.PIECE_BYTES])

    def _miss(self, length: float) -> None:
        before = round(self._missed)
        self._missed += length
        self._on_missed(round(self._missed) - before)
        where, missed = self._gaps
        position = self._sent / self._per_ms
        if where and where[-1] == position:
            missed[-1] = self._missed
        else:
            where.append(position)
            missed.append(self._missed)
        if self._missed >= self._limits.missed_secs * 1000:
            self._link.order(wire.Close(self.order.session))
            self.end(Unavailable(f"the recogniser could not keep up and missed {self.missed_ms} ms"))

    def _give_up_waiting(self) -> None:
        self._link.order(wire.Close(self.order.session))
        self.end()

    def _keep_pending(self) -> None:
        """Make the last partial a final: what was shown is never lost."""
        if self._pending is not None:
            if self._heard and self._heard[-1] is self._pending:
                self._heard.pop()
            self._heard.append(replace(self._pending, stable=True))
            self._pending = None

    def _in_time(self, segment: Segment) -> Segment:
        """Count what was missed into the times."""
        if not self._gaps[0]:
            return segment
        words = tuple(
            replace(word, start_ms=self._shift(word.start_ms), end_ms=self._shift(word.end_ms))
            for word in segment.words
        )
        return replace(segment, start_ms=self._shift(segment.start_ms), end_ms=self._shift(segment.end_ms), words=words)

    def _shift(self, at: int) -> int:
        where, missed = self._gaps
        index = bisect_right(where, at) - 1
        return at if index < 0 else at + round(missed[index])
