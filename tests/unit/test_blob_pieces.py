"""Blobs that are written while they come. Files are real."""

from __future__ import annotations

import resource
import signal
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from connectors.errors import Busy
from connectors.pieces import PieceStore
from gateway.blobs import BlobStore

PIECES = [b"a" * 70_000, bytearray(b"b"), b"", b"c" * 5]
WHOLE = b"".join(PIECES)
REF = f"sha256:{sha256(WHOLE).hexdigest()}"


async def coming(*, broken: bool = False) -> AsyncIterator[bytes | bytearray]:
    for piece in PIECES:
        yield piece
    if broken:
        raise ConnectionResetError("the line broke")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_pieces_become_the_same_blob_as_the_whole(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    assert isinstance(store, PieceStore)
    assert await store.put_pieces(coming()) == REF == await store.put(WHOLE)
    assert await store.put_pieces(coming()) == REF
    assert await store.get(REF) == WHOLE
    assert [path.stat().st_mode & 0o777 for path in files(tmp_path)] == [0o600]


async def test_of_pieces_that_break_off_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(Busy):
        await BlobStore(tmp_path).put_pieces(coming(broken=True))
    assert files(tmp_path) == []


async def test_a_full_disk_is_busy_and_nothing_stays(tmp_path: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, old[1]))
    try:
        with pytest.raises(Busy, match="cannot be written"):
            await BlobStore(tmp_path).put_pieces(coming())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path for path in files(tmp_path) if path.stat().st_size] == []
