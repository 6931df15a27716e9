"""A recording in progress on disk. Everything here blocks; the writer thread and recovery call it.

Two forms. **Plain**: ``<name>.wav``, a WAV file whose header is rewritten after every write, so that it is right up to
the last write at any moment of a `kill -9`. **Sealed**: ``<name>.sealed``, a log (`connectors.sealing`) of
``position, sound`` records. In both, sound is written *at a position*: what was not written is silence, and takes no
room on the disk.

A tape is locked (flock) by whoever records; the lock ends with the process.
"""

from __future__ import annotations

import fcntl
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from typing_extensions import override

from connectors.recording.wav import FRAME, HEADER, header
from connectors.sealing import KeyMissing, LogSealer, Seal, SealBroken, read_log

PLAIN, SEALED = ".wav", ".sealed"
_POSITION_BYTES = 8
_PIECE = 65_536


class Tape(ABC):
    """What a recording is written on; of two forms, see the module."""

    def __init__(self, fd: int, path: Path) -> None:
        """Take a new, locked file."""
        self._fd, self._path = fd, path

    @abstractmethod
    def write(self, at: int, pcm: bytes) -> None:
        """Write stereo sound at frame `at`; it is with the operating system when this returns. Raises `OSError`."""

    @abstractmethod
    def end(self, frames: int) -> None:
        """Give the recording its length, with silence up to there, and bring it to disk; raises `OSError`."""

    def sync(self) -> None:
        """Bring to disk what was written; raises `OSError`."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Let go of the file and its lock; raises `OSError`."""
        os.close(self._fd)

    def discard(self) -> None:
        """Delete the file and let go of it; raises `OSError`."""
        self._path.unlink()
        self.close()


def create(folder: Path, name: str, rate: int, seal: Seal | None) -> Tape:
    """Make a new, locked tape; raises `OSError`, also where there is one of this name."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / (name + (SEALED if seal else PLAIN))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _Sealed(fd, path, seal) if seal else _Plain(fd, path, rate)
    except BaseException:
        os.close(fd)
        with suppress(OSError):
            path.unlink()
        raise


class _Plain(Tape):
    def __init__(self, fd: int, path: Path, rate: int) -> None:
        super().__init__(fd, path)
        self._rate, self._frames = rate, 0
        self._reach(0)

    @override
    def write(self, at: int, pcm: bytes) -> None:
        _write(self._fd, pcm, HEADER + at * FRAME)
        self._reach(at + len(pcm) // FRAME)

    @override
    def end(self, frames: int) -> None:
        os.ftruncate(self._fd, HEADER + frames * FRAME)
        self._reach(frames)
        os.fsync(self._fd)

    def _reach(self, frames: int) -> None:
        """Let the header cover so many frames."""
        self._frames = max(self._frames, frames)
        _write(self._fd, header(self._frames * FRAME, self._rate), 0)


class _Sealed(Tape):
    def __init__(self, fd: int, path: Path, seal: Seal) -> None:
        super().__init__(fd, path)
        self._log, self._size = LogSealer(seal), 0
        self._append(self._log.head)

    @override
    def write(self, at: int, pcm: bytes) -> None:
        try:
            self._append(self._log.record(at.to_bytes(_POSITION_BYTES) + pcm))
        except OSError:
            self._log.undo()
            raise

    @override
    def end(self, frames: int) -> None:
        self.write(frames, b"")
        os.fsync(self._fd)

    def _append(self, data: bytes) -> None:
        try:
            _write(self._fd, data, self._size)
        except OSError:
            os.ftruncate(self._fd, self._size)  # half a record would hide all that follow
            raise
        self._size += len(data)


class Found:
    """A tape that somebody left.

    Attributes:
        frames: how much of it is whole.
        modified: when it was last written, in seconds since the epoch.
        damaged: what follows was changed, and is left out.
    """

    damaged = False

    def __init__(self, path: Path, seal: Seal | None) -> None:
        """Open and lock it.

        Raises:
            BlockingIOError: somebody is recording on it.
            OSError: it cannot be read.
            KeyMissing: it is sealed, and its key is not configured.
        """
        self.path, self._seal = path, seal
        self._file = path.open("rb")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.modified = os.fstat(self._file.fileno()).st_mtime
            self.frames = self._sealed_frames() if path.suffix == SEALED else self._plain_frames()
        except BaseException:
            self._file.close()
            raise

    def pieces(self) -> Iterator[bytes]:
        """Yield its sound from the beginning, without header; raises `OSError` or `SealBroken`."""
        if self.path.suffix == SEALED:
            yield from self._sealed_pieces()
            return
        self._file.seek(HEADER)
        rest = self.frames * FRAME
        while rest:
            piece = self._file.read(min(_PIECE, rest))
            if not piece:
                raise OSError(f"{self.path} became shorter while it was read")
            rest -= len(piece)
            yield piece

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def _plain_frames(self) -> int:
        """Count by size: the header may be older than the last sound."""
        return max(0, os.fstat(self._file.fileno()).st_size - HEADER) // FRAME

    def _sealed_frames(self) -> int:
        return max((at + len(pcm) // FRAME for at, pcm in self._records()), default=0)

    def _sealed_pieces(self) -> Iterator[bytes]:
        done = 0
        for at, pcm in self._records():
            while done < at:
                silence = min(at - done, _PIECE // FRAME)
                yield bytes(silence * FRAME)
                done += silence
            yield pcm
            done += len(pcm) // FRAME

    def _records(self) -> Iterator[tuple[int, bytes]]:
        if self._seal is None:
            raise KeyMissing("it is sealed, and no key is configured")
        self._file.seek(0)
        if not self._file.read(1):  # a crash before the head
            return
        self._file.seek(0)
        try:
            for record in read_log(self._file, self._seal):
                yield int.from_bytes(record[:_POSITION_BYTES]), record[_POSITION_BYTES:]
        except SealBroken as exc:
            if isinstance(exc, KeyMissing):
                raise
            self.damaged = True


def _write(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written
