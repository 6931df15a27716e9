"""One recording between the event loop, which feeds it, and the writer thread, which brings it to disk.

The two share a deque and counters that only one side changes. Sound has a *position* (its frame number) from the moment
it is fed: what cannot be kept is left out and stays silence, and all that follows is still at its time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog

from connectors.recording.tape import Tape
from connectors.recording.wav import interleave

log = structlog.get_logger(__name__)

Block = tuple[int, bytes, bytes]
"""Position, left, right."""


class Track:
    """See the module.

    Attributes:
        at: where the next sound belongs, in frames from the start. Only the feeding side changes it.
        problem: why the disk does not take it, or None.
    """

    def __init__(self, make: Callable[[], Tape], *, limit: int, backlog: int) -> None:
        """Begin; nothing is opened before the writer thread does.

        Args:
            make: opens the tape.
            limit: frames after which nothing is kept any more.
            backlog: frames that may wait for the disk; beyond them sound is left out.
        """
        self._make, self._limit, self._backlog = make, limit, backlog
        self._waiting: deque[Block] = deque()
        self._tape: Tape | None = None
        self._fed = self._taken = self._refused = self._failed = 0
        self._dirty = False
        self.at = 0
        self.problem: str | None = None
        self.synced_at = 0.0

    @property
    def full(self) -> bool:
        """Whether the limit was reached."""
        return self.at >= self._limit

    @property
    def missed(self) -> int:
        """How many frames are silent that should not be."""
        return self._refused + self._failed

    def feed(self, left: bytes, right: bytes) -> None:
        """Take a block; never waits."""
        frames = min(len(left) // 2, self._limit - self.at)
        if frames <= 0:
            return
        if self._fed - self._taken + frames > self._backlog:
            self._refused += frames
        else:
            self._fed += frames
            self._waiting.append((self.at, left[: 2 * frames], right[: 2 * frames]))
        self.at += frames

    def skip(self, frames: int) -> None:
        """Leave silence."""
        self.at = min(self.at + frames, self._limit)

    def work(self) -> None:
        """Write what waits. In the writer thread, as are the methods below."""
        while self._waiting:
            at, left, right = self._next_run()
            frames = len(left) // 2
            try:
                self._opened().write(at, interleave(left, right))
            except OSError as exc:
                self._failed += frames
                self._trouble(exc)
            else:
                self._dirty = True
                self._well()
            self._taken += frames

    def open(self) -> None:
        """Make the tape, so that there is one before anything is said."""
        self._tried(self._opened)

    def sync(self, now: float) -> None:
        """Bring to disk what was written."""
        self.synced_at = now
        if self._tape is not None and self._dirty:
            self._dirty = not self._tried(self._tape.sync)

    def end(self) -> bool:
        """Write the rest and give the recording its length; the tape stays open, and locked, until `close`.

        Returns whether there is a recording; its length may be short of `at` when the disk is full.
        """
        self.work()
        self._tried(lambda: self._opened().end(self.at))
        return self._tape is not None

    def close(self) -> None:
        """Let go of the tape."""
        if self._tape is not None:
            with suppress(OSError):
                self._tape.close()

    def _next_run(self) -> Block:
        """Take blocks that follow each other as one, up to a second or so."""
        at, left, right = self._waiting.popleft()
        lefts, rights, end = [left], [right], at + len(left) // 2
        while self._waiting and self._waiting[0][0] == end and len(lefts) < 20:
            _, left, right = self._waiting.popleft()
            lefts.append(left)
            rights.append(right)
            end += len(left) // 2
        return at, b"".join(lefts), b"".join(rights)

    def _opened(self) -> Tape:
        if self._tape is None:
            self._tape = self._make()
        return self._tape

    def _tried(self, action: Callable[[], object]) -> bool:
        try:
            action()
        except OSError as exc:
            self._trouble(exc)
            return False
        return True

    def _trouble(self, exc: OSError) -> None:
        reason = exc.strerror or str(exc)
        if self.problem is None:
            log.warning("recording_not_written", reason=reason)
        self.problem = reason

    def _well(self) -> None:
        if self.problem is not None:
            log.info("recording_written_again")
        self.problem = None
