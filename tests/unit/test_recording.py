"""Recordings from the first sample to the blob. Files are real; gateways die as processes do."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from connectors.recording.config import RecordingConfig
from connectors.recording.shelf import Shelf, Stored
from connectors.sealing import Seal
from gateway.blobs import BlobStore
from normalizer.model import ChannelRef
from tests.contexts import make_context

STARTED = datetime(2026, 7, 1, 12, tzinfo=UTC)
BLOCK = 480
META = {"call_id": "c1", "from": "+4930123"}
SEAL = Seal([bytes(range(32))])


def noise(frames: int, seed: int) -> bytes:
    return np.random.default_rng(seed).integers(-9000, 9000, frames, dtype="<i2").tobytes()


class Bench:
    """A channel's shelf; what it told is in `told`."""

    def __init__(self, shelf: Shelf, folder: Path, blobs: BlobStore) -> None:
        self.shelf, self.folder, self.blobs = shelf, folder, blobs
        self.told: list[Stored] = []
        self.durable = True
        self._news = asyncio.Event()

    async def tell(self, stored: Stored) -> bool:
        self.told.append(stored)
        self._news.set()
        return self.durable

    async def next(self, number: int = 1) -> Stored:
        async with asyncio.timeout(30):
            while len(self.told) < number:
                self._news.clear()
                await self._news.wait()
        return self.told[number - 1]

    async def emptied(self) -> None:
        async with asyncio.timeout(30):
            while any(self.folder.iterdir()):
                await asyncio.sleep(0.01)

    async def sound(self, stored: Stored) -> tuple[bytes, bytes]:
        """The legs as any reader of WAV sees them."""
        with wave.open(io.BytesIO(await self.blobs.get(f"sha256:{stored.media.sha256}"))) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
            both = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return both[0::2].tobytes(), both[1::2].tobytes()


@asynccontextmanager
async def bench(folder: Path, *, seal: Seal | None = None, run: bool = True, **options: Any) -> AsyncIterator[Bench]:
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        blobs = BlobStore(folder)
        context = make_context(ChannelRef(id="line", type="sip"), folder, http, blobs=blobs, seal=seal)
        it = Bench(Shelf(context, RecordingConfig(**options)), folder / "recordings" / "line", blobs)
        task = group.create_task(it.shelf.run(it.tell)) if run else None
        yield it
        if task is not None:
            task.cancel()


@pytest.mark.parametrize("seal", [None, SEAL], ids=["plain", "sealed"])
async def test_a_recording_holds_both_legs_as_they_were_said(tmp_path: Path, seal: Seal | None) -> None:
    left, right = noise(8000 * 3, 1), noise(8000 * 3, 2)
    async with bench(tmp_path, seal=seal) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        for at in range(0, len(left), 2 * BLOCK):
            recorder.write(left[at : at + 2 * BLOCK], right[at : at + 2 * BLOCK])
        it.shelf.end(recorder)
        stored = await it.next()

        assert await it.sound(stored) == (left, right)
        await it.emptied()
    assert (stored.complete, stored.missed_ms, stored.meta, stored.started_at) == (True, 0, META, STARTED)
    media = stored.media
    assert (media.mime, media.name, media.duration_ms, media.status) == ("audio/wav", "c1.1.wav", 3000, "stored")
    assert media.url is not None
