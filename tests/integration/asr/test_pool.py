"""Recognisers in real processes with a real model: what they hear, and what becomes of everybody when one dies."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from asr import pool as pool_module
from asr.audio import RateConverter
from asr.errors import AsrError, Died, MissingModel, Unavailable
from asr.pool import Pool
from asr.session import Limits, Session
from normalizer.parts import Segment
from tests import voice

EN = {"en": str(voice.MODEL)}
PACKET = 960  # bytes: 60 ms at 8 kHz
PATIENT = Limits(buffer_secs=600, final_secs=60)


@asynccontextmanager
async def running(folder: Path, *, workers: int = 1, **options: object) -> AsyncIterator[Pool]:
    """Run a pool until the block ends, once its workers are up."""
    named = options.pop("named", EN)
    pool = Pool(named, folder, workers=workers, **{"limits": PATIENT, **options})  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(pool.run())
        await until(lambda: pool.stats().workers == workers)
        try:
            yield pool
        finally:
            task.cancel()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def feed(session: Session, pcm: bytes) -> None:
    for start in range(0, len(pcm), PACKET):
        session.feed(pcm[start : start + PACKET])


async def hear(session: Session) -> list[Segment]:
    async with asyncio.timeout(60):
        return [segment async for segment in session]


async def hear_out(session: Session) -> tuple[list[Segment], AsrError | None]:
    """Hear everything, and why it ended."""
    found: list[Segment] = []
    try:
        async with asyncio.timeout(60):
            async for segment in session:
                found += [segment]
    except AsrError as exc:
        return found, exc
    return found, None


def finals(segments: list[Segment]) -> str:
    return " ".join(segment.text for segment in segments if segment.stable)


async def sound(*names: str) -> AsyncIterator[bytes]:
    for name in names:
        yield voice.pcm(name)


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield voice.pcm("en_seen_us")


async def test_the_samples_are_understood_and_noises_are_not(tmp_path: Path) -> None:
    """The model's own word error rate on these ten sentences is 0 (its README)."""
    async with running(tmp_path, workers=2, preload=True) as pool:
        await until(lambda: pool.stats().room >= len(voice.SAMPLES))
        sessions = {name: pool.listen(language="en", rate=8000) for name in voice.SAMPLES}
        for name, session in sessions.items():
            feed(session, voice.pcm(name))
            session.finish()
        heard = {name: await hear(session) for name, session in sessions.items()}
        assert pool.stats().missed_ms == 0
        assert 0 < pool.stats().factor < 5

    wrong = sum(voice.errors(text, finals(heard[name])) for name, text in voice.SPOKEN.items())
    assert wrong / sum(len(text.split()) for text in voice.SPOKEN.values()) <= 0.02
    assert {name: heard[name] for name in voice.QUIET} == {name: [] for name in voice.QUIET}
    for name in voice.SPOKEN:
        (final,) = [segment for segment in heard[name] if segment.stable]
        assert [word.text for word in final.words] == final.text.split()
        assert 0 <= final.start_ms < final.end_ms <= len(voice.pcm(name)) / 16
        assert all(one.end_ms <= two.start_ms + 1 for one, two in zip(final.words, final.words[1:], strict=False))
        assert final.confidence is not None
        assert 0.3 < final.confidence <= 1


async def test_partials_come_at_most_twice_a_second_and_the_final_has_their_words(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        session, pcm = pool.listen(language="en", rate=8000), voice.pcm("en_seen_us")
        loop = asyncio.get_running_loop()
        times: list[float] = []
        shown: list[Segment] = []

        async def listen() -> None:
            async for segment in session:
                times.append(loop.time())
                shown.append(segment)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(listen())
            started = loop.time()
            for start in range(0, len(pcm), PACKET):
                session.feed(pcm[start : start + PACKET])
                await asyncio.sleep(max(0.0, started + start / 16_000 - loop.time()))
            session.finish()

    partials = [segment for segment in shown if not segment.stable]
    assert 2 <= len(partials) <= 2 * (times[-1] - started) + 1
    assert all(not segment.words and segment.confidence is None for segment in partials)
    assert finals(shown) == voice.SAMPLES["en_seen_us"]
    assert shown[-1].stable
    assert len(partials[-1].text.split()) <= len(shown[-1].text.split())


@pytest.mark.parametrize("rate", [16_000, 48_000, 4000])
async def test_any_rate_is_understood(tmp_path: Path, rate: int) -> None:
    """Below the model's own rate Kaldi refuses, so the worker converts."""
    convert = RateConverter(8000, rate)
    pcm = convert.take(voice.pcm("en_seen_us"))
    async with running(tmp_path) as pool:
        session = pool.listen(language="en", rate=rate)
        session.feed(pcm)
        session.finish()
        found = finals(await hear(session))
    assert voice.errors(voice.SAMPLES["en_seen_us"], found) <= (6 if rate < 8000 else 1)
    assert found


async def test_with_phrases_nothing_else_is_heard(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        told = {}
        for name in ("en_yes", "en_seen_us"):
            session = pool.listen(language="en", rate=8000, phrases=("yes please", "no", "xylophone"))
            feed(session, voice.pcm(name))
            session.finish()
            told[name] = finals(await hear(session))
    assert told["en_yes"] == "yes please"
    assert set(told["en_seen_us"].split()) <= {"yes", "please", "no"}


async def test_two_utterances_are_two_finals_in_the_order_of_time(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        found = await pool.transcribe(sound("en_seen_us", "silence_digital", "en_yes"), language="en", rate=8000)
    assert [segment.text for segment in found] == [voice.SAMPLES["en_seen_us"], voice.SAMPLES["en_yes"]]
    assert found[0].end_ms < 3300
    assert found[1].start_ms > 6000


async def test_a_dead_recogniser_ends_its_own_voices_and_is_replaced(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as pool:
        doomed, spared = pool.listen(language="en", rate=8000), pool.listen(language="en", rate=8000)
        (worker,) = [one for one in pool.workers if doomed.order.session in one.sessions]
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            first = group.create_task(anext(aiter(doomed)))
            while not first.done():  # as in a call, where sound never ends
                feed(doomed, voice.pcm("en_seen_us")[:32_000])
                await asyncio.sleep(0.3)
        partial = first.result()
        os.kill(worker.pid, signal.SIGKILL)

        left, error = await hear_out(doomed)
        assert isinstance(error, Died)
        assert "signal 9" in str(error)
        assert partial.text in finals(left)
        feed(spared, voice.pcm("en_seen_gb"))
        spared.finish()
        assert finals(await hear(spared)) == voice.SAMPLES["en_seen_gb"]
        doomed.feed(bytes(PACKET))
        doomed.finish()
        doomed.close()

        await until(lambda: pool.stats().workers == 2)
        found = [await pool.transcribe(sound("en_yes"), language="en", rate=8000) for _ in range(2)]
        assert [finals(one) for one in found] == ["yes please", "yes please"]
        assert pool.stats().restarts == 1


async def test_a_recogniser_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "HANG_SECS", 1.0)
    monkeypatch.setattr(pool_module, "LOOK_SECS", 0.1)
    async with running(tmp_path, preload=True) as pool:
        await until(lambda: pool.stats().factor)
        psutil.Process(pool.workers[0].pid).suspend()
        session = pool.listen(language="en", rate=8000)
        feed(session, voice.pcm("en_yes"))
        with pytest.raises(Died):
            await hear(session)


async def test_a_voice_that_is_ahead_of_its_recogniser_is_cut_off_and_told(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(buffer_secs=1, missed_secs=2)) as pool:
        process = psutil.Process(pool.workers[0].pid)
        process.suspend()
        session = pool.listen(language="en", rate=8000)
        for _ in range(10):
            feed(session, bytes(8000))
        with pytest.raises(Unavailable, match="could not keep up"):
            await hear(session)
        assert session.missed_ms == pool.stats().missed_ms >= 2000
        assert pool.stats().sessions == 0
        process.resume()


async def test_a_full_socket_never_blocks_and_loses_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        process = psutil.Process(pool.workers[0].pid)
        process.suspend()
        session = pool.listen(language="en", rate=48_000)
        while not pool.workers[0]._out:
            session.feed(bytes(32_000))
        session.feed(RateConverter(8000, 48_000).take(voice.pcm("en_seen_us") + bytes(8000)))
        assert pool.stats().missed_ms == 0
        session.finish()
        process.resume()
        assert finals(await hear(session)) == voice.SAMPLES["en_seen_us"]


async def test_live_voices_come_before_what_can_wait(tmp_path: Path) -> None:
    async with running(tmp_path) as pool, asyncio.timeout(60):
        done = asyncio.Event()

        async def wait() -> None:
            try:
                await pool.transcribe(endless(), language="en", rate=8000)
            finally:
                done.set()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(wait())
            await until(lambda: pool.stats().waiting == 1)
            session = pool.listen(language="en", rate=8000)
            feed(session, voice.pcm("en_seen_gb"))
            session.finish()
            assert finals(await hear(session)) == voice.SAMPLES["en_seen_gb"]
            assert not done.is_set()
            task.cancel()
        await until(lambda: pool.stats().waiting == 0)


async def test_only_so_many_voices_are_taken(tmp_path: Path) -> None:
    async with running(tmp_path, max_sessions=2) as pool:
        assert pool.stats().room == 2
        first, _second = (pool.listen(language="en", rate=8000) for _ in range(2))
        with pytest.raises(Unavailable, match="2 voices"):
            pool.listen(language="en", rate=8000)
        first.close()
        pool.listen(language="en", rate=8000)
        assert (pool.stats().room, pool.stats().sessions) == (0, 2)


async def test_how_many_voices_are_taken_follows_from_how_long_the_model_takes(tmp_path: Path) -> None:
    async with running(tmp_path, preload=True) as pool:
        await until(lambda: pool.stats().factor)
        path = str(voice.MODEL)
        pool.workers[0].factors[path] = 0.3
        assert pool.stats().room == 2
        pool.listen(language="en", rate=8000)
        pool.listen(language="en", rate=8000)
        with pytest.raises(Unavailable):
            pool.listen(language="en", rate=8000)
        for session in list(pool.workers[0].sessions.values()):
            session.close()
        pool.workers[0].factors[path] = 3.0
        pool.listen(language="en", rate=8000)  # one is always taken


async def test_a_missing_model_is_named_and_found_once_it_is_there(tmp_path: Path) -> None:
    async with running(tmp_path, named={"en": "tiny"}) as pool:
        with pytest.raises(MissingModel, match="omnigate models install tiny"):
            pool.listen(language="en", rate=8000)
        with pytest.raises(MissingModel, match="'de'"):
            pool.listen(language="de", rate=8000)
        assert pool.problem("en")
        shutil.copytree(voice.MODEL, tmp_path / "tiny")
        assert pool.problem("en") is None
        assert finals(await pool.transcribe(sound("en_yes"), language="en", rate=8000)) == "yes please"


async def test_a_broken_model_is_told_and_tried_again_later(tmp_path: Path) -> None:
    shutil.copytree(voice.MODEL, tmp_path / "tiny")
    (tmp_path / "tiny/am/final.mdl").write_bytes(b"\0" * 1000)
    async with running(tmp_path, named={"en": "tiny"}) as pool:
        session = pool.listen(language="en", rate=8000)
        with pytest.raises((MissingModel, Died)):
            await hear(session)
        await until(lambda: pool.stats().workers == 1)
        if pool.problem("en") is None:  # it died of it once
            with pytest.raises((MissingModel, Died)):
                await pool.transcribe(sound("en_yes"), language="en", rate=8000)
        assert pool.problem("en")


async def test_nothing_is_started_without_models(tmp_path: Path) -> None:
    async with running(tmp_path, named={}, workers=0) as pool:
        assert pool.workers == []
        assert pool.stats().room == 0
        with pytest.raises(MissingModel, match="no model is configured"):
            pool.listen(language="en", rate=8000)


async def test_workers_end_with_the_pool_and_their_voices_are_told(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        session, pid = pool.listen(language="en", rate=8000), pool.workers[0].pid
    with pytest.raises(Unavailable):
        await hear(session)
    assert not psutil.pid_exists(pid)
    with pytest.raises(Unavailable, match="starting"):
        pool.listen(language="en", rate=8000)
