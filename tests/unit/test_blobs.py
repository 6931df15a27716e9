"""Blobs on disk and links to them. Files are real."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import stat
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from connectors.errors import Busy
from gateway.blobs import BlobStore
from tests.clocks import Clock


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> BlobStore:
    return BlobStore(tmp_path / "data", clock=clock)


def files(store: BlobStore) -> list[Path]:
    return [path for path in store._folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("data", [b"", b"hello", bytes(3_000_000)])
async def test_what_was_put_is_read_back(store: BlobStore, data: bytes) -> None:
    ref = await store.put(data)

    assert ref == "sha256:" + sha256(data).hexdigest()
    assert await store.get(ref) == data
    assert await store.exists(ref)


async def test_same_bytes_are_stored_once(store: BlobStore) -> None:
    async with asyncio.TaskGroup() as group:
        puts = [group.create_task(store.put(b"same")) for _ in range(8)]

    assert len({put.result() for put in puts}) == 1
    (file,) = files(store)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("ref", ["sha256:" + "0" * 64, "0" * 64, "sha256:../../etc/passwd", "", "sha256:", "md5:00"])
async def test_unknown_reference_is_a_key_error(store: BlobStore, ref: str) -> None:
    await store.put(b"something")

    assert not await store.exists(ref)
    with pytest.raises(KeyError):
        await store.get(ref)


async def test_damaged_blob_is_mended_by_the_next_put(store: BlobStore) -> None:
    ref = await store.put(b"whole")
    files(store)[0].write_bytes(b"who")

    assert await store.put(b"whole") == ref
    assert await store.get(ref) == b"whole"


async def test_full_disk_is_busy_and_leaves_nothing(store: BlobStore) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(Busy, match="cannot be written"):
            await store.put(bytes(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert files(store) == []
    await store.put(bytes(1_000_000))


async def test_sweep_deletes_what_was_not_put_for_long(store: BlobStore, clock: Clock) -> None:
    old, used = await store.put(b"old"), await store.put(b"used")
    half = files(store)[0].with_name(".new-left-by-a-crash")
    half.write_bytes(b"half")
    for file in files(store):
        os.utime(file, (1, 1))
    await store.put(b"used")
    clock.now = max(file.stat().st_mtime for file in files(store)) + 10

    assert await store.sweep(1000) == 1
    assert not await store.exists(old)
    assert await store.exists(used)
    assert not half.exists()


async def test_sweep_of_nothing_is_no_error(store: BlobStore) -> None:
    assert await store.sweep(0) == 0


def split(link: str) -> tuple[str, dict[str, str]]:
    path, _, query = link.partition("?")
    return path, dict(parse_qsl(query))


async def test_signed_link_works_until_it_expires(store: BlobStore, clock: Clock) -> None:
    ref = await store.put(b"x")
    path, query = split(store.sign(ref, clock.now + 60))

    assert store.verify(path, query) == ref
    assert store.verify("/" + path, query) == ref
    clock.now += 61
    assert store.verify(path, query) is None


@pytest.mark.parametrize("path", ["f" * 64, "../{}", "", "{}/.."])
async def test_link_to_something_else_is_refused(store: BlobStore, clock: Clock, path: str) -> None:
    digest, query = split(store.sign(await store.put(b"x"), clock.now + 60))

    assert store.verify(path.format(digest), query) is None


@pytest.mark.parametrize(
    "forged",
    [
        {"expires": "99999999999"},
        {"expires": "1e99"},
        {"expires": "\u0663"},
        {"expires": ""},
        {"signature": "0" * 64},
        {"signature": "\u00fc\udc80"},
        {"signature": ""},
    ],
)
async def test_forged_link_is_refused(store: BlobStore, clock: Clock, forged: dict[str, str]) -> None:
    path, query = split(store.sign(await store.put(b"x"), clock.now + 60))

    assert store.verify(path, {**query, **forged}) is None
    assert store.verify(path, forged) is None


async def test_stores_of_one_folder_share_the_key(tmp_path: Path, store: BlobStore, clock: Clock) -> None:
    link = split(store.sign("sha256:" + "a" * 64, clock.now + 60))

    assert BlobStore(tmp_path / "data", clock=clock).verify(*link) is not None
    assert BlobStore(tmp_path / "elsewhere", clock=clock).verify(*link) is None
    assert stat.S_IMODE((tmp_path / "data" / "media.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["media.key"]


def test_empty_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "media.key").write_bytes(b"")

    with pytest.raises(OSError, match="delete it"):
        BlobStore(tmp_path).sign("sha256:" + "a" * 64, 1)
