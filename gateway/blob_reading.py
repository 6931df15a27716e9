"""A blob being read, sealed or not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from connectors.sealing import HEAD, WHOLE, KeyMissing, Opened, Seal, SealBroken, is_sealed

PIECE = 65_536


class Unreadable(KeyError):
    """The blob is there, and cannot be read: its key is missing, or it was damaged.

    A `KeyError`, because whoever asks can do no more than where there is none.
    """

    def __init__(self, ref: str, reason: str) -> None:
        """Say which and why."""
        super().__init__(ref)
        self.reason = reason


class BlobFile:
    """An open blob; what is swept meanwhile can still be read. Close it.

    Attributes:
        size: of its bytes, as they were put.
    """

    def __init__(self, path: Path, seal: Seal | None) -> None:
        """Open it; blocks.

        Raises:
            FileNotFoundError: there is none.
            Unreadable: see there.
        """
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._opened = _opened(self._fd, seal, path.name)
            self.size = os.fstat(self._fd).st_size if self._opened is None else self._opened.size
        except BaseException:
            os.close(self._fd)
            raise

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield what is from `start` up to `stop`, in pieces of at most 64 KiB; blocks.

        Raises:
            SealBroken: a piece was changed.
        """
        end = self.size if stop is None else min(stop, self.size)
        if self._opened is not None:
            yield from self._opened.read(start, end)
            return
        while start < end and (piece := os.pread(self._fd, min(PIECE, end - start), start)):
            start += len(piece)
            yield piece

    async def pieces(self, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Do the same without blocking."""
        found = self.read(start, stop)
        while (piece := await asyncio.to_thread(next, found, None)) is not None:
            yield piece

    def as_file(self) -> BinaryIO:
        """Make a file of the system with the same bytes; blocks.

        Of what is sealed that is a file in memory (memfd_create(2)): nothing that is plain gets to the disk.

        Raises:
            SealBroken: a piece was changed.
        """
        if self._opened is None:
            return os.fdopen(os.dup(self._fd), "rb")
        return memory_file(self.read())

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)


def memory_file(pieces: Iterable[bytes]) -> BinaryIO:
    """Write bytes into a file that has no name and never gets to the disk; it stands at its beginning."""
    file = os.fdopen(os.memfd_create("sound", os.MFD_CLOEXEC), "w+b")
    try:
        file.writelines(pieces)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _opened(fd: int, seal: Seal | None, digest: str) -> Opened | None:
    """Open what is sealed; None for what is not.

    Somebody may have sent us a file that looks sealed: it is a plain one if its bytes are those its name says.
    """
    if not is_sealed(os.pread(fd, HEAD, 0), WHOLE):
        return None
    try:
        if seal is None:
            raise KeyMissing("it is sealed, and no key is configured")
        return Opened(fd, seal, bytes.fromhex(digest))
    except SealBroken as exc:
        if _is_plain(fd, digest):
            return None
        raise Unreadable(f"sha256:{digest}", str(exc)) from exc


def _is_plain(fd: int, digest: str) -> bool:
    total, at = sha256(), 0
    while piece := os.pread(fd, PIECE, at):
        total.update(piece)
        at += len(piece)
    return total.hexdigest() == digest
