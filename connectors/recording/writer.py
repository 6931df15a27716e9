"""The thread that brings all recordings of a process to disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

import structlog

from connectors.recording.track import Track

log = structlog.get_logger(__name__)

STEP_SECS = 0.2
"""How long sound waits in memory: what a `kill -9` takes."""
SYNC_SECS = 1.0
"""How often each recording is brought to disk: what a power cut takes, where the disk keeps up."""

Ended = Callable[[bool], None]
"""Told in the writer thread, with whether there is a recording."""


class Writer:
    """Works on tracks from `add` to `end`; its thread lives while there are any. Methods may be called anywhere."""

    def __init__(self) -> None:
        """Begin without a thread."""
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._tracks: dict[Track, Ended | None] = {}
        self._thread: threading.Thread | None = None

    def add(self, track: Track) -> None:
        """Open a track soon, and write what it is fed."""
        self._put(track, None)

    def end(self, track: Track, ended: Ended) -> None:
        """Write the rest of a track and give it its length, then call `ended`; the tape stays open."""
        self._put(track, ended)

    def _put(self, track: Track, ended: Ended | None) -> None:
        with self._lock:
            self._tracks[track] = ended
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="recordings", daemon=True)
                self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while True:
            with self._lock:
                tracks = dict(self._tracks)
                if not tracks:
                    self._thread = None
                    return
            for track, ended in tracks.items():
                self._work(track, ended)
            if not self._sync_one():
                self._wake.wait(STEP_SECS)
                self._wake.clear()

    def _sync_one(self) -> bool:
        """Sync the track that waited longest: one at a time, a slow disk must not keep the others from being written.

        Returns whether there was one that it was time for.
        """
        with self._lock:
            track = min(self._tracks, key=lambda one: one.synced_at, default=None)
        now = monotonic()
        if track is None or now - track.synced_at < SYNC_SECS:
            return False
        track.sync(now)
        return True

    def _work(self, track: Track, ended: Ended | None) -> None:
        try:
            if ended is None:
                track.open()
                track.work()
                return
            there = track.end()
        except Exception:  # the other recordings go on
            log.exception("recording_failed")
            there = False
        if ended is not None or not there:
            with self._lock:
                self._tracks.pop(track, None)
        if ended is not None:
            ended(there)
