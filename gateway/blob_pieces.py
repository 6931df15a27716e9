"""A blob while it is being written."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from connectors.sealing import HEAD, WHOLE, Seal, Sealer, is_sealed, sealed_size

TEMPORARY = ".new-"


class Pieces:
    """A file under a temporary name, sealed where there is a key; methods block and raise `OSError`."""

    def __init__(self, folder: Path, seal: Seal | None) -> None:
        """Begin a file in `folder`, whose name begins with `TEMPORARY`."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._hash, self._sealer = sha256(), Sealer(seal) if seal else None
        self._begun = self._sealer is None

    def add(self, piece: bytes | bytearray) -> None:
        """Write more."""
        self._hash.update(piece)
        if self._sealer is None:
            self._write(piece)
            return
        self._begin(self._sealer)
        for sealed in self._sealer.update(piece):
            self._write(sealed)

    def finish(self) -> str:
        """Bring it to disk; returns the SHA-256 of all of it, in hex."""
        if self._sealer is not None:
            self._begin(self._sealer)
            self._write(self._sealer.finish(self._hash.digest()))
        os.fsync(self._fd)
        return self._hash.hexdigest()

    def close(self) -> None:
        """Delete the file, unless it has got its name by now."""
        os.close(self._fd)
        with suppress(OSError):
            self.path.unlink()

    def _begin(self, sealer: Sealer) -> None:
        if not self._begun:
            self._write(sealer.head)
            self._begun = True

    def _write(self, data: bytes | bytearray) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]


def write_file(path: Path, data: bytes, seal: Seal | None) -> None:
    """Write a file that appears under its name with all its bytes on disk, or not at all; raises `OSError`."""
    pieces = Pieces(path.parent, seal)
    try:
        pieces.add(data)
        pieces.finish()
        pieces.path.rename(path)
    finally:
        pieces.close()


def renewed(path: Path, size: int, seal: Seal | None) -> bool:
    """Tell whether a blob of `size` plain bytes is there as it would be written now, and keep it for longer.

    One that is not sealed with the present key is to be written again: so what comes again is sealed from then on, and
    moves to a new key.
    """
    try:
        with path.open("rb") as file:
            head, there = file.read(HEAD), os.fstat(file.fileno()).st_size
        sealed = is_sealed(head, WHOLE)
        if seal is None:
            same = there == size and not sealed
        else:
            same = sealed and seal.is_current(head) and there == sealed_size(size)
        if same:
            os.utime(path)  # `BlobStore.sweep` counts from here
    except FileNotFoundError:
        return False
    return same
