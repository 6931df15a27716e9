"""A blob store with a key. Files are real."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from connectors.errors import Busy
from connectors.sealing import HEAD, SEGMENT, Seal, sealed_size
from gateway import blob_keys
from gateway.blob_reading import Unreadable
from gateway.blobs import BlobStore

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
SEAL, NEW = Seal([KEY]), Seal([OTHER, KEY])
DATA = random.Random(5).randbytes(2 * SEGMENT + 99)


def only(folder: Path) -> Path:
    (path,) = [path for path in (folder / "blobs").rglob("*") if path.is_file()]
    return path


async def in_pieces(data: bytes, step: int = 10_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), step):
        yield data[at : at + step]


@pytest.mark.parametrize("data", [b"", b"x", bytes(SEGMENT), DATA], ids=len)
async def test_a_sealed_blob_has_the_name_it_would_have_anyway_and_is_read_back(tmp_path: Path, data: bytes) -> None:
    store = BlobStore(tmp_path, seal=SEAL)

    assert await store.put(data) == await store.put_pieces(in_pieces(data)) == f"sha256:{sha256(data).hexdigest()}"
    ref = await store.put(data)

    assert await store.get(ref) == data
    assert await store.exists(ref)
    written = only(tmp_path).read_bytes()
    assert len(written) == sealed_size(len(data))
    assert len(data) < 16 or data not in written  # a single byte is there by chance


async def test_what_was_stored_before_there_was_a_key_is_read_and_sealed_when_it_comes_again(tmp_path: Path) -> None:
    ref = await BlobStore(tmp_path).put(DATA)
    store = BlobStore(tmp_path, seal=SEAL)

    assert await store.get(ref) == DATA
    assert only(tmp_path).read_bytes() == DATA
    assert await store.put(DATA) == ref
    assert only(tmp_path).stat().st_size == sealed_size(len(DATA))
    assert await store.get(ref) == DATA


async def test_a_new_key_reads_what_the_old_one_sealed_and_seals_it_when_it_comes_again(tmp_path: Path) -> None:
    ref = await BlobStore(tmp_path, seal=SEAL).put(DATA)
    store = BlobStore(tmp_path, seal=NEW)

    assert await store.get(ref) == DATA
    await store.put(DATA)
    assert await BlobStore(tmp_path, seal=Seal([OTHER])).get(ref) == DATA


@pytest.mark.parametrize("seal", [None, Seal([OTHER])], ids=["no key", "another key"])
async def test_without_its_key_a_blob_is_as_good_as_gone_and_comes_back_with_its_bytes(
    tmp_path: Path, seal: Seal | None
) -> None:
    ref = await BlobStore(tmp_path, seal=SEAL).put(DATA)
    store = BlobStore(tmp_path, seal=seal)

    assert not await store.exists(ref)
    with pytest.raises(Unreadable) as caught:
        await store.get(ref)
    assert "key" in caught.value.reason
    assert isinstance(caught.value, KeyError)
    assert await store.put(DATA) == ref
    assert await store.get(ref) == DATA


@pytest.mark.parametrize("seal", [None, SEAL], ids=["no key", "with a key"])
async def test_a_strangers_file_that_looks_sealed_is_just_a_file(tmp_path: Path, seal: Seal | None) -> None:
    await BlobStore(tmp_path / "elsewhere", seal=SEAL).put(DATA)
    looks = only(tmp_path / "elsewhere").read_bytes()
    ref = await BlobStore(tmp_path / "here").put(looks)

    assert await BlobStore(tmp_path / "here", seal=seal).get(ref) == looks


@pytest.mark.parametrize("place", [HEAD - 1, HEAD, HEAD + SEGMENT + 20, -1])
async def test_a_changed_blob_is_not_given_out(tmp_path: Path, place: int) -> None:
    store = BlobStore(tmp_path, seal=SEAL)
    ref = await store.put(DATA)
    changed = bytearray(only(tmp_path).read_bytes())
    changed[place] ^= 1
    only(tmp_path).write_bytes(changed)

    with pytest.raises(Unreadable):
        await store.get(ref)


async def test_one_blob_cannot_be_passed_off_as_another(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, seal=SEAL)
    one = await store.put(b"one")
    sealed = only(tmp_path).read_bytes()
    two = await store.put(b"two")
    store._path(two).write_bytes(sealed)

    with pytest.raises(Unreadable):
        await store.get(two)
    assert await store.get(one) == b"one"


@pytest.mark.parametrize("seal", [None, SEAL], ids=["plain", "sealed"])
async def test_a_blob_can_be_given_to_another_process_as_a_file(tmp_path: Path, seal: Seal | None) -> None:
    store = BlobStore(tmp_path, seal=seal)

    with await store.as_file(await store.put(DATA)) as file:
        done = await asyncio.to_thread(subprocess.run, ["cat"], stdin=file, capture_output=True)

    assert done.stdout == DATA
    assert all(DATA[:50] not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()) == (
        seal is not None
    )


async def test_a_broken_stream_leaves_nothing(tmp_path: Path) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield DATA
        raise Busy(1.0, "gone")

    with pytest.raises(Busy):
        await BlobStore(tmp_path, seal=SEAL).put_pieces(breaking())

    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


LARGE = """
import asyncio, resource, sys
from hashlib import sha256
from pathlib import Path
from connectors.sealing import Seal
from gateway.blobs import BlobStore

PIECE, PIECES = bytes(range(256)) * 1024, 200

async def pieces():
    for _ in range(PIECES):
        yield PIECE

async def main():
    store = BlobStore(Path(sys.argv[1]), seal=Seal([bytes(32)]))
    await store.get(await store.put(b"warm up"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ref = await store.put_pieces(pieces())
    file, found = await store.open(ref), sha256()
    async for piece in file.pieces():
        found.update(piece)
    assert file.size == len(PIECE) * PIECES and "sha256:" + found.hexdigest() == ref
    file.close()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main())
"""


def test_fifty_megabytes_are_sealed_and_opened_in_the_memory_of_a_few_pieces(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path)], capture_output=True, text=True, check=True, timeout=100
    )

    assert int(done.stdout) < 12_000  # kB; 52 MB went through


CRASH = """
import asyncio, os, sys
from pathlib import Path
from connectors.sealing import Seal
from gateway.blobs import BlobStore

store, stage = BlobStore(Path(sys.argv[1]), seal=Seal([bytes(range(32))])), sys.argv[2]

def die(*_, **__):
    os.kill(os.getpid(), 9)

real_fsync, real_rename, real_write = os.fsync, Path.rename, os.write
if stage == "write":
    os.write = lambda fd, data: real_write(fd, bytes(data)[:100]) and die()
elif stage == "fsync":
    os.fsync = die
elif stage == "rename":
    Path.rename = die
elif stage == "renamed":
    Path.rename = lambda self, target: (real_rename(self, target), die())
asyncio.run(store.put(bytes(200_000)))
"""


@pytest.mark.parametrize("stage", ["write", "fsync", "rename", "renamed"])
async def test_a_process_that_dies_while_it_seals_leaves_all_or_nothing(tmp_path: Path, stage: str) -> None:
    command = [sys.executable, "-c", CRASH, str(tmp_path), stage]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)
    assert done.returncode == -9, done.stderr
    store, ref = BlobStore(tmp_path, seal=SEAL), f"sha256:{sha256(bytes(200_000)).hexdigest()}"

    assert await store.exists(ref) == (stage == "renamed")
    assert await store.put(bytes(200_000)) == ref
    assert await store.get(ref) == bytes(200_000)
    for left in (tmp_path / "blobs").rglob(".new-*"):
        os.utime(left, (1, 1))
    await store.sweep(86_400)
    assert list((tmp_path / "blobs").rglob(".new-*")) == []


def test_keys_that_sealed_something_are_remembered(tmp_path: Path) -> None:
    blob_keys.remember(tmp_path, None)
    assert blob_keys.missing(tmp_path, None) == []
    for _ in range(2):
        blob_keys.remember(tmp_path, SEAL)

    assert blob_keys.missing(tmp_path, SEAL) == blob_keys.missing(tmp_path, NEW) == []
    assert blob_keys.missing(tmp_path, Seal([OTHER])) == blob_keys.missing(tmp_path, None) == [SEAL.ids[0]]
    assert (tmp_path / "blob.keys").read_text() == f"{SEAL.ids[0]}\n"
