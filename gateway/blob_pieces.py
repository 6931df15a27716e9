"""A blob that is written while it comes, for what is too large for memory."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from hashlib import sha256
from pathlib import Path


class Pieces:
    """A file under a temporary name; methods block."""

    def __init__(self, folder: Path, prefix: str) -> None:
        """Begin a file in `folder`, whose name begins with `prefix`."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{prefix}{secrets.token_hex(8)}"
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._hash = sha256()

    def add(self, piece: bytes | bytearray) -> None:
        """Write more."""
        self._hash.update(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(self._fd, view) :]

    def finish(self) -> str:
        """Bring it to disk; returns the SHA-256 of all of it, in hex."""
        os.fsync(self._fd)
        return self._hash.hexdigest()

    def close(self) -> None:
        """Delete the file, unless it has got its name by now."""
        os.close(self._fd)
        with suppress(OSError):
            self.path.unlink()
