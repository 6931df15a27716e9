"""What is written beside a recording, so that another process can tell whose it is: ``<name>.json``.

Sealed like the sound where there is a key, because it names people. Functions block.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from connectors.durable import sync_folder
from connectors.sealing import KeyMissing, Opened, Seal, SealBroken, Sealer
from normalizer.parts import Media

SUFFIX, _NEW = ".json", ".new"
_PLAIN_START = b"{"
_NO_DIGEST = bytes(32)
NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


class Slip(Struct, frozen=True, kw_only=True):
    """See the module.

    Attributes:
        rate: samples per second.
        started_at: when the first sample was spoken.
        meta: the caller's own, as builtins.
        ended_at: when it ended in order; None while it goes on, or when a process died.
        frames: how long it is, once it ended.
        missed: frames of it that are silent because they could not be kept.
        cut: its end is missing: the limit of length was reached, or it did not get to the disk.
        media: once it is in the blob store.
        keep_until: of the blob.
        remark: what is odd about it.
        passing: it is needed for a moment only: not converted, and without retention; the caller sees to its end.
    """

    rate: int
    started_at: datetime
    meta: dict[str, Any] = {}
    ended_at: datetime | None = None
    frames: int = 0
    missed: int = 0
    cut: bool = False
    media: Media | None = None
    keep_until: datetime | None = None
    remark: str | None = None
    passing: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.ended_at is not None and not self.missed and not self.cut


def write(folder: Path, name: str, slip: Slip, seal: Seal | None) -> None:
    """Write or replace a slip, durably and in one step; raises `OSError`."""
    data = msgspec.json.encode(slip)
    if seal is not None:
        sealer = Sealer(seal)
        data = sealer.head + b"".join(sealer.update(data)) + sealer.finish(_NO_DIGEST)
    path = folder / (name + SUFFIX)
    new = path.with_name(path.name + _NEW)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    sync_folder(folder)


def read(folder: Path, name: str, seal: Seal | None) -> Slip | None:
    """Read a slip; None where there is none, or only something that is none.

    Raises:
        KeyMissing: it is sealed, and its key is not configured.
        OSError: it cannot be read.
    """
    path = folder / (name + SUFFIX)
    try:
        data = path.read_bytes()
        if not data.startswith(_PLAIN_START):
            data = _opened(path, seal)
        return msgspec.json.decode(data, type=Slip)
    except FileNotFoundError:
        return None
    except KeyMissing:
        raise
    except (SealBroken, msgspec.MsgspecError):
        return None


def remove(folder: Path, name: str) -> None:
    """Delete a slip, if there is one; raises `OSError`."""
    for suffix in (SUFFIX + _NEW, SUFFIX):
        (folder / (name + suffix)).unlink(missing_ok=True)


def _opened(path: Path, seal: Seal | None) -> bytes:
    if seal is None:
        raise KeyMissing("it is sealed, and no key is configured")
    with path.open("rb") as file:
        opened = Opened(file.fileno(), seal, _NO_DIGEST)
        return b"".join(opened.read(0, opened.size))
