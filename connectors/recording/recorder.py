"""One recording, as whoever has the sound sees it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from msgspec.structs import replace

from connectors.recording import slip as slips
from connectors.recording.slip import Slip
from connectors.recording.tape import Tape, create
from connectors.recording.track import Track
from connectors.recording.wav import max_frames
from connectors.recording.writer import Writer
from connectors.sealing import Seal

log = structlog.get_logger(__name__)

BACKLOG_SECS = 10.0
"""How much sound waits for a disk that does not take it, before it is left out: 320 kB at 8 kHz."""


class Recorder:
    """Records two legs; made by `Shelf.begin`. Methods belong to one thread, never wait and never fail.

    Time is what was written: blocks of both legs, one after the other, and pauses.
    """

    def __init__(
        self, folder: Path, name: str, slip: Slip, *, writer: Writer, seal: Seal | None, max_secs: float
    ) -> None:
        """Begin the files ``<name>.*`` in `folder`, in the writer thread."""
        self.name, self._folder, self._slip, self._seal, self._writer = name, folder, slip, seal, writer
        self._paused, self._ended = False, False
        self._over = 0
        limit, backlog = max_frames(slip.rate, max_secs), int(slip.rate * BACKLOG_SECS)
        self._track = Track(self._make, limit=limit, backlog=backlog)
        writer.add(self._track)

    def write(self, left: bytes, right: bytes) -> None:
        """Take a block of both legs: 16-bit little-endian, mono, of one length; silence where a leg has none.

        While paused, silence is recorded in its place. Raises `ValueError` for legs that differ in length.
        """
        if len(left) != len(right) or len(left) % 2:
            raise ValueError(f"legs of {len(left)} and {len(right)} bytes")
        if self._ended:
            return
        if self._track.full and left:
            self._over += len(left) // 2
        elif self._paused:
            self._track.skip(len(left) // 2)
        else:
            self._track.feed(left, right)

    def pause(self) -> None:
        """Record silence from now on."""
        self._paused = True

    def resume(self) -> None:
        """Record what is said again."""
        self._paused = False

    @property
    def duration_ms(self) -> int:
        """How long it is by now."""
        return self._track.at * 1000 // self._slip.rate

    @property
    def missed_ms(self) -> int:
        """How much of it is silent because it could not be kept."""
        return self._track.missed * 1000 // self._slip.rate

    @property
    def problem(self) -> str | None:
        """Why the disk does not take it at this moment, or None."""
        return self._track.problem

    def finish(self, told: Callable[[Slip | None], None]) -> None:
        """End it: bring all to disk, let go of the files, then tell `told`, in the writer thread, what is there.

        `Shelf.end` calls this.
        """
        if self._ended:
            return
        self._ended = True

        def ended(there: bool) -> None:  # noqa: FBT001 -- as `Writer` calls it
            slip = self._final() if there else None
            self._track.close()
            told(slip)

        self._writer.end(self._track, ended)

    def _make(self) -> Tape:
        """Open the tape, with its slip beside it; either both are there or none."""
        tape = create(self._folder, self.name, self._slip.rate, self._seal)
        try:
            slips.write(self._folder, self.name, self._slip, self._seal)
        except OSError:
            tape.discard()
            raise
        return tape

    def _final(self) -> Slip:
        """Say on the slip that it ended in order; where the disk is full, only in memory."""
        track = self._track
        slip = replace(self._slip, ended_at=datetime.now(UTC), frames=track.at, missed=track.missed, cut=self._over > 0)
        try:
            slips.write(self._folder, self.name, slip, self._seal)
        except OSError as exc:
            log.warning("recording_slip_not_written", reason=exc.strerror or str(exc))
        return slip
