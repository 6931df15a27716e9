"""The keys of the blobs: read from the configuration, and remembered by their ids so that a lost one is noticed.

``<data_dir>/blob.keys`` holds the id of every key that ever sealed something there, one a line; an operator who has
retired a key deletes its line.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from connectors.sealing import Seal
from connectors.secrets import Secret

FILE = "blob.keys"


def seal_of(secret: Secret | None) -> Seal | None:
    """Read `[gateway] blob_key`; raises `ValueError` without any part of it."""
    return None if secret is None else Seal.parse(secret.reveal())


def missing(data_dir: Path, seal: Seal | None) -> list[str]:
    """List the keys that something in `data_dir` was sealed with and that are not configured; raises `OSError`."""
    there = seal.ids if seal else ()
    return [name for name in _used(data_dir) if name not in there]


def remember(data_dir: Path, seal: Seal | None) -> None:
    """Note which key seals from now on; raises `OSError`."""
    if seal is None or seal.ids[0] in _used(data_dir):
        return
    fd = os.open(data_dir / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"{seal.ids[0]}\n".encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def _used(data_dir: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return list(dict.fromkeys((data_dir / FILE).read_text(encoding="ascii", errors="replace").split()))
    return []
