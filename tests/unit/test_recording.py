"""Recordings from the first sample to the blob. Files are real; gateways die as processes do."""

from __future__ import annotations

import asyncio
import io
import resource
import signal
import struct
import sys
import threading
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from msgspec.structs import replace

from connectors.recording import config, shelf
from connectors.recording.config import RecordingConfig
from connectors.recording.recorder import Recorder
from connectors.recording.shelf import Shelf, Stored
from connectors.recording.tape import Tape, create
from connectors.recording.track import Track
from connectors.recording.wav import FRAME, HEADER, header, interleave, max_frames
from connectors.recording.writer import Writer
from connectors.sealing import Seal
from gateway.audio import GatewayAudio
from gateway.blobs import BlobStore
from normalizer.model import ChannelRef
from tests.contexts import make_context
from tests.sounds import legs, likeness, sweep

STARTED = datetime(2026, 7, 1, 12, tzinfo=UTC)
BLOCK = 480
META = {"call_id": "c1", "from": "+4930123"}
SEAL = Seal([bytes(range(32))])


def noise(frames: int, seed: int) -> bytes:
    return np.random.default_rng(seed).integers(-9000, 9000, frames, dtype="<i2").tobytes()


class Bench:
    """A channel's shelf; what it told is in `told`."""

    def __init__(self, shelf: Shelf, folder: Path, blobs: BlobStore, reported: list[str | None]) -> None:
        self.shelf, self.folder, self.blobs, self.reported = shelf, folder, blobs, reported
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
async def bench(
    folder: Path, *, seal: Seal | None = None, run: bool = True, given: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Bench]:
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        blobs = BlobStore(folder)
        reported: list[str | None] = []

        def report(component: str, reason: str | None, **_: Any) -> None:
            assert component == "recordings"
            reported.append(reason)

        channel = ChannelRef(id="line", type="sip")
        context = make_context(channel, folder, http, blobs=blobs, seal=seal, report=report, **(given or {}))
        it = Bench(Shelf(context, RecordingConfig(**options)), folder / "recordings" / "line", blobs, reported)
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


def feed(recorder: Recorder, left: bytes, right: bytes) -> None:
    for at in range(0, len(left), 2 * BLOCK):
        recorder.write(left[at : at + 2 * BLOCK], right[at : at + 2 * BLOCK])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_pause_is_silence_and_what_follows_is_at_its_time(tmp_path: Path) -> None:
    said = noise(8000, 3)
    async with bench(tmp_path) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, said, said)
        recorder.pause()
        feed(recorder, said, said)
        recorder.resume()
        feed(recorder, said, said)
        assert recorder.duration_ms == 3000
        it.shelf.end(recorder)
        stored = await it.next()

        left, right = await it.sound(stored)
    assert left == right == said + bytes(16000) + said
    assert (stored.complete, stored.missed_ms) == (True, 0)


async def test_a_recording_ends_at_its_limit_and_says_that_more_was_said(tmp_path: Path) -> None:
    said = noise(8000, 3)
    async with bench(tmp_path, max_secs=0.5) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, said, said)
        it.shelf.end(recorder)
        stored = await it.next()

        assert await it.sound(stored) == (said[:8000], said[:8000])
    assert not stored.complete


async def test_one_that_ends_just_at_its_limit_is_whole(tmp_path: Path) -> None:
    async with bench(tmp_path, max_secs=0.06) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, noise(BLOCK, 1), noise(BLOCK, 1))
        it.shelf.end(recorder)

        assert (await it.next()).complete


async def test_nothing_said_is_nothing_told(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        it.shelf.end(it.shelf.begin("c1.1", meta=META, started_at=STARTED))
        recorder = it.shelf.begin("c2.1", meta=META, started_at=STARTED)
        feed(recorder, noise(BLOCK, 1), noise(BLOCK, 1))
        it.shelf.end(recorder)

        assert (await it.next()).name == "c2.1"
        await it.emptied()
    assert len(it.told) == 1


async def test_what_comes_after_the_end_and_a_second_end_do_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, noise(BLOCK, 1), noise(BLOCK, 1))
        it.shelf.end(recorder)
        feed(recorder, noise(BLOCK, 1), noise(BLOCK, 1))
        it.shelf.end(recorder)

        assert (await it.next()).media.duration_ms == 60
        await it.emptied()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".", "a..b", "a b", "x.json/", "ü"])
async def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    async with bench(tmp_path, run=False) as it:
        with pytest.raises(ValueError, match="name of a file"):
            it.shelf.begin(name, meta=META, started_at=STARTED)


async def test_legs_that_differ_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        for left, right in ((b"ab", b"abcd"), (b"abc", b"abc")):
            with pytest.raises(ValueError, match="legs"):
                recorder.write(left, right)
        it.shelf.end(recorder)


async def test_an_event_that_is_not_durable_is_told_again_by_the_next_process(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        it.durable = False
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, noise(8000, 1), noise(8000, 2))
        it.shelf.end(recorder)
        first = await it.next()
        await until(lambda: not (it.folder / "c1.1.wav").exists())

    async with bench(tmp_path) as it:
        second = await it.next()
        await it.emptied()

    assert replace(first.media, url=None) == replace(second.media, url=None)
    assert (second.meta, second.complete, second.started_at) == (META, True, STARTED)


async def test_a_recording_whose_slip_cannot_be_written_is_told_all_the_same(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as it:
        it.durable = False
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, noise(8000, 1), noise(8000, 2))
        await until((it.folder / "c1.1.json").exists)
        (it.folder / "c1.1.json.new").mkdir()  # in the way
        it.shelf.end(recorder)
        first = await it.next()
        await until(lambda: "c1.1" in it.shelf._later)
        (it.folder / "c1.1.json.new").rmdir()

    async with bench(tmp_path) as it:
        second = await it.next()
        await it.emptied()
    assert first.media.sha256 == second.media.sha256


@pytest.mark.parametrize("seal", [None, SEAL], ids=["plain", "sealed"])
async def test_what_ended_and_was_not_stored_is_stored_by_the_next_process(tmp_path: Path, seal: Seal | None) -> None:
    left, right = noise(8000, 1), noise(8000, 2)
    async with bench(tmp_path, seal=seal, run=False) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, left, right)
        it.shelf.end(recorder)
        await until(lambda: "c1.1" in it.shelf._ended)

    async with bench(tmp_path, seal=seal) as it:
        stored = await it.next()
        assert await it.sound(stored) == (left, right)
    assert stored.complete


async def test_a_recording_under_way_is_left_alone_by_others(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, noise(8000, 1), noise(8000, 2))
        await until((it.folder / "c1.1.json").exists)

        async with bench(tmp_path) as other:
            await until(lambda: "c1.1" in other.shelf._later)
            assert (other.told, other.shelf.parked) == ([], 0)
        it.shelf.end(recorder)
        assert (await it.next()).complete


DYING = """
import asyncio, os, sys, time
from datetime import datetime, UTC
from pathlib import Path
import aiohttp
from connectors.recording import config, shelf
from connectors.recording.config import RecordingConfig
from connectors.recording.shelf import Shelf
from connectors.recording.tape import Tape, create
from connectors.recording.track import Track
from connectors.recording.wav import FRAME, HEADER, header, interleave, max_frames
from connectors.recording.writer import Writer
from connectors.sealing import Seal
from gateway.audio import GatewayAudio
from normalizer.model import ChannelRef
from tests.contexts import make_context

async def main(folder, key):
    seal = Seal([bytes(range(32))]) if key else None
    async with aiohttp.ClientSession() as http:
        shelf = Shelf(make_context(ChannelRef(id="line", type="sip"), folder, http, seal=seal), RecordingConfig())
        started = datetime(2026, 7, 1, 12, tzinfo=UTC)
        recorder = shelf.begin("c1.1", meta={"call_id": "c1", "from": "+4930123"}, started_at=started)
        for number in range(10_000):
            block = number.to_bytes(2, "little") * 480
            recorder.write(block, block[::-1])
            print(number, flush=True)
            await asyncio.sleep(0.002)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2] == "sealed"))
"""


@pytest.mark.parametrize("form", ["plain", "sealed"])
async def test_kill_9_takes_nothing_of_what_is_written(tmp_path: Path, form: str) -> None:
    """Blocks carry their number, and come thirty times as fast as they would be said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DYING, str(tmp_path), form, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async for line in process.stdout:
        if int(line) == 300:
            break
    path = tmp_path / "recordings" / "line" / ("c1.1.wav" if form == "plain" else "c1.1.sealed")
    await until(lambda: path.stat().st_size >= 300 * 4 * BLOCK)  # of what was fed by then, without any end
    process.kill()
    await process.wait()

    async with bench(tmp_path, seal=SEAL if form == "sealed" else None) as it:
        stored = await it.next()
        left, right = (np.frombuffer(leg, "<u2") for leg in await it.sound(stored))

    blocks = left[::BLOCK]
    assert blocks.tolist() == list(range(len(blocks)))
    assert right[::BLOCK].byteswap().tolist() == blocks.tolist()
    assert len(blocks) >= 300
    assert (stored.complete, stored.meta) == (False, META)


async def test_what_ended_can_be_waited_for(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, noise(8000, 1), noise(8000, 1))
        assert not await it.shelf.settled(0.1)
        it.shelf.end(recorder)

        assert await it.shelf.settled(30)
        assert len(it.told) == 1
        it.durable = False
        recorder = it.shelf.begin("c1.2", meta=META, started_at=STARTED)
        feed(recorder, noise(8000, 1), noise(8000, 1))
        it.shelf.end(recorder)

        assert await it.shelf.settled(30)  # what cannot be told now is not waited for
        assert len(it.told) == 2


async def test_a_plain_recording_can_be_played_while_it_goes_on(tmp_path: Path) -> None:
    said = noise(8000, 1)
    async with bench(tmp_path) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, said, said)
        path = it.folder / "c1.1.wav"
        await until(lambda: path.exists() and path.stat().st_size == 44 + 4 * 8000)
        copy = path.read_bytes()
        it.shelf.end(recorder)

    with wave.open(io.BytesIO(copy)) as file:
        assert file.getnframes() == 8000


@pytest.mark.parametrize("seal", [None, SEAL], ids=["plain", "sealed"])
async def test_only_a_sealed_recording_shows_nothing_of_the_call_on_disk(tmp_path: Path, seal: Seal | None) -> None:
    said = noise(8000, 1)
    async with bench(tmp_path, seal=seal, run=False) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, said, said)
        it.shelf.end(recorder)
        await until(lambda: "c1.1" in it.shelf._ended)
        written = b"".join(path.read_bytes() for path in it.folder.iterdir())

    shown = [part in written for part in (interleave(said, said)[400:440], META["from"].encode(), b"call_id")]
    assert shown == [seal is None] * 3


@pytest.mark.parametrize("seal", [None, Seal([bytes(32)])], ids=["no key", "another key"])
async def test_a_recording_whose_key_is_missing_waits_for_it_and_degrades_the_channel(
    tmp_path: Path, seal: Seal | None
) -> None:
    async with bench(tmp_path, seal=SEAL, run=False) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, noise(8000, 1), noise(8000, 2))
        it.shelf.end(recorder)
        await until(lambda: "c1.1" in it.shelf._ended)

    async with bench(tmp_path, seal=seal) as it:
        await until(lambda: bool(it.reported))
        assert "key" in str(it.reported[-1])
        assert it.told == []
    async with bench(tmp_path, seal=SEAL) as it:
        assert (await it.next()).complete


async def test_a_damaged_sealed_recording_is_kept_up_to_the_damage(tmp_path: Path) -> None:
    left = noise(80_000, 1)
    async with bench(tmp_path, seal=SEAL, run=False) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, left, left)
        it.shelf.end(recorder)
        await until(lambda: "c1.1" in it.shelf._ended)
        path = it.folder / "c1.1.sealed"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    async with bench(tmp_path, seal=SEAL) as it:
        stored = await it.next()
        kept, _ = await it.sound(stored)
    assert not stored.complete
    assert 0 < len(kept) < len(left)
    assert left.startswith(kept)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that is full: no file gets larger than this."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("seal", [None, SEAL], ids=["plain", "sealed"])
async def test_while_the_disk_is_full_the_recording_is_silent_and_what_follows_is_at_its_time(
    tmp_path: Path, seal: Seal | None
) -> None:
    parts = [noise(8000, seed) for seed in range(3)]
    async with bench(tmp_path, seal=seal) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, parts[0], parts[0])
        path = it.folder / ("c1.1.sealed" if seal else "c1.1.wav")
        await until(lambda: path.exists() and path.stat().st_size >= 32_000)
        with largest_file(33_000):
            feed(recorder, parts[1], parts[1])
            await until(lambda: recorder.missed_ms == 1000)
            assert recorder.problem is not None
        feed(recorder, parts[2], parts[2])
        await until(lambda: recorder.problem is None)
        it.shelf.end(recorder)
        stored = await it.next()

        left, right = await it.sound(stored)
    assert left == right
    assert (left[:16_000], left[32_000:]) == (parts[0], parts[2])
    if seal is not None:  # a plain one may have got a part of it
        assert left[16_000:32_000] == bytes(16_000)
    assert (stored.complete, stored.missed_ms) == (False, 1000)


async def test_a_disk_that_stays_full_keeps_what_it_took(tmp_path: Path) -> None:
    said = noise(16_000, 1)
    async with bench(tmp_path, run=False) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        await until((it.folder / "c1.1.json").exists)
        with largest_file(32_044):
            feed(recorder, said, said)
            it.shelf.end(recorder)
            await until(lambda: "c1.1" in it.shelf._ended)

    async with bench(tmp_path) as it:
        stored = await it.next()
        left, _ = await it.sound(stored)
    assert said.startswith(left)
    assert 0 < len(left) < len(said)
    assert not stored.complete


async def test_what_does_not_fit_is_parked_and_visible_and_stored_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "RETRY_SECS", 0.1)
    left, right = noise(16_000, 1), noise(16_000, 2)
    async with bench(tmp_path) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, left, right)
        await until(lambda: (it.folder / "c1.1.wav").exists() and (it.folder / "c1.1.wav").stat().st_size > 64_000)
        with largest_file(40_000):
            it.shelf.end(recorder)
            await until(lambda: bool(it.reported))
            assert "cannot be written" in str(it.reported[0])
            assert (it.told, it.shelf.parked) == ([], 1)
        stored = await it.next()

        assert await it.sound(stored) == (left, right)
        await it.emptied()
        await until(lambda: it.reported[-1] is None)
        assert it.shelf.parked == 0


async def test_a_disk_that_does_not_answer_costs_sound_and_nothing_else(tmp_path: Path) -> None:
    answer, parts = threading.Event(), [noise(8000, seed) for seed in range(3)]

    def slow() -> Tape:
        answer.wait(30)
        return create(tmp_path, "c1.1", 8000, None)

    track, writer, ended = Track(slow, limit=80_000, backlog=8000), Writer(), threading.Event()
    writer.add(track)
    track.feed(parts[0], parts[0])
    track.feed(parts[1], parts[1])
    assert (track.at, track.missed) == (16_000, 8000)
    answer.set()
    await until(lambda: (tmp_path / "c1.1.wav").exists() and (tmp_path / "c1.1.wav").stat().st_size >= 32_044)
    track.feed(parts[2], parts[2])
    writer.end(track, lambda _: ended.set())
    assert await asyncio.to_thread(ended.wait, 30)
    track.close()

    with wave.open(str(tmp_path / "c1.1.wav")) as file:
        left = np.frombuffer(file.readframes(file.getnframes()), "<i2")[::2].tobytes()
    assert left == parts[0] + bytes(16_000) + parts[2]


async def test_twenty_recordings_at_once_are_each_whole(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        recorders = [it.shelf.begin(f"c{number}.1", meta={"n": number}, started_at=STARTED) for number in range(20)]
        for block in range(50):
            for number, recorder in enumerate(recorders):
                recorder.write(noise(BLOCK, number * 1000 + block), noise(BLOCK, block))
            await asyncio.sleep(0)
        for recorder in recorders:
            it.shelf.end(recorder)
        await it.next(20)

        for stored in it.told:
            left, right = await it.sound(stored)
            assert left == b"".join(noise(BLOCK, stored.meta["n"] * 1000 + block) for block in range(50))
            assert right == b"".join(noise(BLOCK, block) for block in range(50))
        await it.emptied()


async def test_a_channel_with_days_keeps_its_recordings_for_so_long(tmp_path: Path) -> None:
    kept: list[tuple[str, datetime, str]] = []

    async def retention(ref: str, until: datetime, channel: str) -> None:
        kept.append((ref, until, channel))

    async with bench(tmp_path, given={"retention": retention}, days=30) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, noise(8000, 1), noise(8000, 2))
        before = datetime.now(UTC)
        it.shelf.end(recorder)
        stored = await it.next()

    assert stored.keep_until is not None
    assert timedelta(0) <= stored.keep_until - before - timedelta(days=30) < timedelta(minutes=5)
    assert kept == [(f"sha256:{stored.media.sha256}", stored.keep_until, "line")]


@pytest.mark.parametrize(("kind", "mime"), [("mp3", "audio/mpeg"), ("opus", "audio/ogg")])
async def test_a_recording_becomes_what_the_channel_wants(tmp_path: Path, kind: str, mime: str) -> None:
    left, right = sweep(3), sweep(3, low=1500, high=400)
    async with bench(tmp_path, given={"audio": GatewayAudio()}, seal=SEAL, format=kind) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, left.tobytes(), right.tobytes())
        it.shelf.end(recorder)
        stored = await it.next()
        data = await it.blobs.get(f"sha256:{stored.media.sha256}")
        await it.emptied()

    assert (stored.media.mime, stored.media.name, stored.media.size) == (mime, f"c1.1.{kind}", len(data))
    assert (stored.media.duration_ms, stored.remark, stored.complete) == (3000, None, True)
    first, second = legs(data)
    assert len(first) == len(left)
    assert min(likeness(first, left), likeness(second, right)) > 0.98


async def test_a_passing_recording_has_neither_days_nor_another_format(tmp_path: Path) -> None:
    said = noise(8000, 1)
    async with bench(tmp_path, given={"audio": GatewayAudio(), "retention": refusing}, format="mp3", days=30) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED, passing=True)
        feed(recorder, said, said)
        it.shelf.end(recorder)
        stored = await it.next()

        assert (stored.media.mime, stored.keep_until, stored.remark) == ("audio/wav", None, None)
        assert await it.sound(stored) == (said, said)


async def refusing(ref: str, until: datetime, channel: str) -> None:
    raise AssertionError(f"{channel} asked to keep {ref} until {until}")


async def test_what_cannot_be_converted_stays_wav_and_says_so(tmp_path: Path) -> None:
    said = noise(8000, 1)
    async with bench(tmp_path, format="mp3") as it:  # there is nothing here that writes sound files
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, said, said)
        it.shelf.end(recorder)
        stored = await it.next()

        assert await it.sound(stored) == (said, said)
    assert stored.media.mime == "audio/wav"
    assert stored.remark is not None
    assert "kept as WAV" in stored.remark


async def test_a_recording_whose_slip_is_gone_is_kept_and_reported(tmp_path: Path) -> None:
    async with bench(tmp_path, run=False) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, noise(8000, 1), noise(8000, 2))
        it.shelf.end(recorder)
        await until(lambda: "c1.1" in it.shelf._ended)
        (it.folder / "c1.1.json").write_text("{")

    async with bench(tmp_path) as it:
        await until(lambda: bool(it.reported))
        assert it.shelf.parked == 1
    assert "slip" in str(it.reported[0])
    assert (it.folder / "c1.1.wav").stat().st_size == 44 + 32_000


async def test_a_slip_alone_is_forgotten(tmp_path: Path) -> None:
    async with bench(tmp_path, run=False) as it:
        recorder = it.shelf.begin("c1.1", meta=META, started_at=STARTED)
        feed(recorder, noise(8000, 1), noise(8000, 2))
        it.shelf.end(recorder)
        await until(lambda: "c1.1" in it.shelf._ended)
        (it.folder / "c1.1.wav").unlink()

    async with bench(tmp_path) as it:
        await it.emptied()
        assert it.told == []


def test_a_wav_header_never_counts_beyond_32_bits() -> None:
    frames = max_frames(48_000, 86_400)

    assert len(header(frames * FRAME, 48_000)) == HEADER
    with pytest.raises(struct.error):
        header((frames + 10) * FRAME, 48_000)


def test_a_format_that_cannot_be_made_is_noticed_by_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(RecordingConfig(format="opus").remarks()) == []
    monkeypatch.setattr(config, "find_spec", lambda _: None)

    (found,) = RecordingConfig(format="opus").remarks()
    assert (found.path, found.hint) == ("recording.format", "install omnigate[asr]")
    assert list(RecordingConfig().remarks()) == []
