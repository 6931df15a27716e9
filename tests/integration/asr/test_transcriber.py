"""What can wait is transcribed: real jobs, files, decoders, recognisers, pipeline and broker."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from asr.pool import Pool
from connectors.api import ChannelConfig
from connectors.speech import NoModel, RecordingJob, SpeechUnavailable
from gateway import telemetry
from gateway.blobs import BlobStore
from gateway.gate import Gate
from gateway.intake import Intake
from gateway.limits import Backoff
from gateway.media_store import PREFIX
from gateway.retention import Retention
from gateway.settings.model import AsrSection
from gateway.speech import Hearing, make_pool
from gateway.speech_jobs import SpeechJob, SpeechJobs, of_media
from gateway.transcriber import Target, Tools, Transcriber
from gateway.web.media import media_link
from normalizer import build
from normalizer.calls import CallTranscriptParams
from normalizer.codecs.telegram import TelegramCodec
from normalizer.model import SCHEMA_VERSION, Conversation, MediaParams, MessageParams, MessageRef
from normalizer.parts import Audio, Media, Segment
from normalizer.raw import Event, RawEvent
from normalizer.speech import Style
from tests import voice
from tests.clocks import Shifted
from tests.rig import Rig, rig

QUICK = Backoff(base=0.01, cap=0.05)
NOTE = voice.encode(voice.pcm("en_seen_us"), "opus")
WORDS = voice.SAMPLES["en_seen_us"]


class Lab:
    """A node's inside for one channel; `told` is what the broker got."""

    def __init__(self, inside: Rig, folder: Path, section: AsrSection) -> None:
        self.rig, self.folder, self.section = inside, folder, section
        self.clock = Shifted()
        self.blobs = BlobStore(folder)
        self.link = media_link(self.blobs, "https://gw.example", self.clock)
        self.jobs = SpeechJobs(folder / "speech.db", wait_secs=3600, clock=self.clock)
        self.retention = Retention(folder / "retention.db", self.blobs)
        self.pool: Pool
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.targets = {inside.channel.id: Target(inside.channel, inside.intake.publish)}
        self.max_secs = 600.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Transcriber]:
        """Run recognisers and transcriber until the block ends, as one life of the gateway."""
        self.pool = make_pool(self.section, self.folder)
        style = Style(numerals=self.section.numerals, mask=self.section.mask)
        tools = Tools(
            pool=self.pool, style=style, blobs=self.blobs, link=self.link, target=self.targets.get,
            max_secs=self.max_secs, retention=self.retention, clock=self.clock,
        )  # fmt: skip
        transcriber = Transcriber(self.jobs, tools, backoff=QUICK)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work()) for work in (self.pool.run, transcriber.run, self.jobs.run)]
            try:
                yield transcriber
            finally:
                for task in tasks:
                    task.cancel()

    async def note(self, data: bytes, number: int = 1, **media: Any) -> SpeechJob:
        """Make the job of a voice note that was stored."""
        ref = await self.blobs.put(data)
        params = MediaParams(
            event_id="evt_1",
            channel=self.rig.channel,
            schema=SCHEMA_VERSION,
            conversation=Conversation(id="cnv_1", kind="direct", provider_id="4711"),
            message=MessageRef(id=f"msg_{number}", provider_id=str(number)),
            media=Media(
                **{"id": f"med_{number}", "mime": "audio/ogg", "voice": True, "status": "stored", **media},
                sha256=ref.removeprefix(PREFIX),
            ),
            at=datetime.now(UTC),
        )
        job = of_media(params, ChannelConfig())
        assert job is not None
        await self.jobs.add([job])
        return job

    async def until(self, count: int = 1) -> list[dict[str, Any]]:
        await self.rig.until(lambda: len(self.told) >= count, timeout=60)
        return [params for _, params in self.told]

    async def ended(self) -> None:
        await self.rig.until(lambda: not self.jobs.open_jobs(), timeout=60)

    def count(self, counter: Any, *labels: str) -> float:
        return float(counter.labels(self.rig.channel.id, "telegram", *labels)._value.get())


@pytest.fixture
def section() -> AsrSection:
    return AsrSection(models={"en": str(voice.MODEL)}, workers=1)


@pytest.fixture
async def lab(tmp_path: Path, section: AsrSection) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        inside = await stack.enter_async_context(rig(tmp_path))
        it = Lab(inside, tmp_path, section)
        for file in (it.jobs, it.retention):
            file.open()
            stack.callback(file.close)
        events = await stack.enter_async_context(inside.broker.watch("v1.#"))

        async def listen() -> None:
            async for delivery in events:
                it.told.append((delivery.method, msgspec.json.decode(delivery.body)["params"]))

        group = await stack.enter_async_context(asyncio.TaskGroup())
        task = group.create_task(listen())
        stack.callback(task.cancel)
        yield it


async def test_voice_notes_of_every_format_are_told_with_their_words(lab: Lab) -> None:
    forms = [*voice.FORMATS, "silk"]
    for number, form in enumerate(forms):
        await lab.note(voice.encode(voice.pcm("en_seen_us") + bytes(8000), form), number)

    async with lab.running():
        told = await lab.until(len(forms))
        await lab.ended()

    by_message = {params["message"]["id"]: params["text"] for params in told}
    assert {form: by_message[f"msg_{number}"] for number, form in enumerate(forms)} == dict.fromkeys(forms, WORDS)
    assert lab.count(telemetry.TRANSCRIBED) == len(forms)
    assert lab.count(telemetry.TRANSCRIPTIONS_PENDING) == 0


async def test_what_is_told_names_message_conversation_and_media(lab: Lab) -> None:
    await lab.note(NOTE)
    async with lab.running():
        (told,) = await lab.until()

    assert (told["message"]["id"], told["conversation"]["id"], told["language"]) == ("msg_1", "cnv_1", "en")
    assert (told["media"]["id"], told["media"]["transcript"]) == ("med_1", WORDS)
    assert told["media"]["url"].startswith("https://gw.example/media/")
    assert [word["text"] for word in told["segments"][0]["words"]] == WORDS.split()


async def test_silence_is_told_as_no_words(lab: Lab) -> None:
    await lab.note(voice.encode(voice.pcm("noise_white"), "opus"))
    async with lab.running():
        (told,) = await lab.until()
    assert told["text"] == ""
    assert "error" not in told.get("metadata", {})
    assert "transcript" not in told["media"]


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"garbage", "unreadable"), (voice.wav(b""), "no_audio"), (voice.wav(bytes(16_000 * 700)), "too_long")],
    ids=["garbage", "empty", "long"],
)
async def test_what_cannot_be_transcribed_is_told_with_its_reason(lab: Lab, data: bytes, code: str) -> None:
    await lab.note(data)
    async with lab.running():
        (told,) = await lab.until()
        await lab.ended()
    assert told["text"] == ""
    assert told["metadata"]["error"]["code"] == code
    assert lab.count(telemetry.TRANSCRIPTION_FAILED, code) == 1


async def test_a_file_that_was_deleted_meanwhile_is_told_as_gone(lab: Lab) -> None:
    job = await lab.note(NOTE)
    (lab.folder / "blobs" / str(job.media.sha256)[:2] / str(job.media.sha256)).unlink()
    async with lab.running():
        (told,) = await lab.until()
    assert told["metadata"]["error"]["code"] == "gone"


async def test_the_same_voice_note_is_transcribed_once(lab: Lab) -> None:
    for _ in range(3):
        await lab.note(NOTE)
    async with lab.running():
        await lab.until()
        await lab.note(NOTE)
        await lab.ended()
        await asyncio.sleep(0.5)
    assert len(lab.told) == 1


async def test_numerals_and_masks_are_as_configured(lab: Lab) -> None:
    section = AsrSection(models={"en": str(voice.MODEL)}, workers=1, numerals=True, mask="digits")
    lab.section = section
    await lab.note(voice.encode(voice.pcm("en_seen_gb"), "opus"))
    async with lab.running():
        (told,) = await lab.until()
    assert told["text"] == told["media"]["transcript"] == "my order number is ****"
    assert "words" not in told["segments"][0]


async def test_a_recogniser_that_dies_again_and_again_of_a_file_ends_the_job(lab: Lab) -> None:
    await lab.note(NOTE)
    async with lab.running(), asyncio.timeout(90):
        while lab.jobs.open_jobs():
            for worker in lab.pool.workers:
                if worker.pid and lab.pool.stats().waiting and not worker.loading:
                    with suppress(ProcessLookupError):
                        os.kill(worker.pid, signal.SIGKILL)
            await asyncio.sleep(0.005)
        (told,) = await lab.until()
    assert told["metadata"]["error"] == {"code": "speech_unavailable", "message": "3 recognisers died of it"}


async def test_a_job_waits_for_its_model_and_is_given_up_when_its_time_is_over(lab: Lab) -> None:
    lab.section = AsrSection(models={"en": "missing"}, workers=1)
    await lab.note(NOTE)
    async with lab.running():
        await lab.rig.until(lambda: not lab.pool.starting)
        await asyncio.sleep(0.5)
        assert lab.jobs.open_jobs() == {lab.rig.channel.id: 1}
        assert lab.told == []
        lab.clock.ahead += 3601
        (told,) = await lab.until()
        await lab.ended()
    assert told["metadata"]["error"]["code"] == "no_model"
    assert "omnigate models install missing" in told["metadata"]["error"]["message"]


async def test_what_the_pipeline_does_not_take_is_told_later_and_not_heard_again(lab: Lab) -> None:
    tries: list[Event] = []
    real = lab.rig.intake.publish

    async def reluctant(event: Event) -> bool:
        tries.append(event)
        return len(tries) > 1 and await real(event)

    lab.targets[lab.rig.channel.id] = Target(lab.rig.channel, reluctant)
    job = await lab.note(NOTE)
    async with lab.running():
        await lab.rig.until(lambda: len(tries) == 1)
        (lab.folder / "blobs" / str(job.media.sha256)[:2] / str(job.media.sha256)).unlink()  # it is not needed any more
        await asyncio.sleep(0.3)
        lab.clock.ahead += 10
        (told,) = await lab.until()
    assert told["text"] == WORDS


async def test_a_job_of_a_channel_that_does_not_run_waits(lab: Lab) -> None:
    lab.targets.clear()
    await lab.note(NOTE)
    async with lab.running():
        await asyncio.sleep(0.5)
        assert list(lab.jobs.open_jobs().values()) == [1]


def recording(lab: Lab, ref: str, **changes: Any) -> RecordingJob:
    person = msgspec.to_builtins(build.party("tel", "+49301234", name="Ada"))
    base = {
        "channel": {"id": lab.rig.channel.id, "type": "telegram"}, "call_id": "call_1", "direction": "in",
        "from": person, "to": person, "conversation": {"id": "cnv_c", "kind": "call"}, "at": "2026-11-20T12:00:00Z",
    }  # fmt: skip
    media = Media(id="med_r", mime="audio/wav", status="stored", sha256=ref.removeprefix(PREFIX))
    return RecordingJob(**{"base": base, "media": media, "language": "en", "offset_ms": 1000, **changes})


async def test_a_recorded_call_is_transcribed_later_each_side_for_itself(lab: Lab) -> None:
    left = voice.pcm("en_seen_us")
    right = bytes(len(left)) + voice.pcm("en_seen_gb")
    ref = await lab.blobs.put(voice.wav(voice.stereo(left, right), channels=2))
    async with lab.running():
        hearing = Hearing(lab.pool, lab.jobs, lab.section)
        await hearing.later(recording(lab, ref))
        await hearing.later(recording(lab, ref))
        (told,) = await lab.until()
        await lab.ended()

    params = msgspec.convert(told, CallTranscriptParams)
    assert lab.told[0][0] == "call.transcript.final"
    assert (params.call_id, params.complete, params.source, params.language) == ("call_1", True, "recording", "en")
    assert [(one.speaker, one.channel, one.text) for one in params.segments] == [
        ("caller", 0, WORDS),
        ("gateway", 1, voice.SAMPLES["en_seen_gb"]),
    ]
    assert params.segments[0].start_ms >= 1000
    assert params.segments[1].start_ms >= 4000
    assert params.segments[0].words[0].start_ms == params.segments[0].start_ms
    assert params.text == f"{WORDS} {voice.SAMPLES['en_seen_gb']}"


@pytest.mark.parametrize("sound", [voice.wav(voice.stereo(voice.pcm("en_yes"), b""), channels=2), b"no recording"])
async def test_a_recording_that_was_made_for_its_transcript_alone_is_deleted_after_it(lab: Lab, sound: bytes) -> None:
    passing, kept = await lab.blobs.put(sound), await lab.blobs.put(voice.wav(voice.pcm("en_yes")))
    async with lab.running():
        hearing = Hearing(lab.pool, lab.jobs, lab.section)
        await hearing.later(recording(lab, passing, passing=True, speakers=("caller",)))
        await hearing.later(recording(lab, kept, speakers=("caller",)))
        await lab.until(2)
        await lab.ended()
    await lab.retention.sweep(lab.clock())

    assert [await lab.blobs.exists(ref) for ref in (passing, kept)] == [False, True]


async def test_only_the_voices_that_are_wanted_are_transcribed_from_a_recording(lab: Lab) -> None:
    ref = await lab.blobs.put(voice.wav(voice.stereo(voice.pcm("en_yes"), voice.pcm("en_seen_gb")), channels=2))
    async with lab.running():
        await Hearing(lab.pool, lab.jobs, lab.section).later(recording(lab, ref, speakers=("caller",)))
        (told,) = await lab.until()
    assert told["text"] == "yes please"


async def test_a_recording_that_cannot_be_read_is_told_for_its_call(lab: Lab) -> None:
    ref = await lab.blobs.put(b"not a recording")
    async with lab.running():
        await Hearing(lab.pool, lab.jobs, lab.section).later(recording(lab, ref, source="voicemail"))
        (told,) = await lab.until()
    assert (told["call_id"], told["complete"], told["source"]) == ("call_1", True, "voicemail")
    assert told["metadata"]["error"]["code"] == "unreadable"


async def test_a_live_voice_is_tidied_and_named(lab: Lab) -> None:
    lab.section = AsrSection(models={"en": str(voice.MODEL)}, workers=1, numerals=True, mask="cards")
    async with lab.running():
        hearing = Hearing(lab.pool, lab.jobs, lab.section)
        with pytest.raises(SpeechUnavailable):
            hearing.listen(language="en", rate=8000)  # starting
        with pytest.raises(NoModel):
            hearing.listen(language="de", rate=8000)
        assert hearing.problem("en") is None
        assert "'de'" in str(hearing.problem("de"))
        await lab.rig.until(lambda: lab.pool.stats().workers == 1)
        ear = hearing.listen(language="en", rate=8000, speaker="caller", channel=0)
        ear.feed(voice.pcm("en_seen_gb"))
        ear.finish()
        found = [segment async for segment in ear if segment.stable]
        assert [(one.text, one.speaker, one.channel, one.words) for one in found] == [
            ("my order number is 4279", "caller", 0, ())
        ]
        assert ear.missed_ms == 0
        doomed = hearing.listen(language="en", rate=8000)
        psutil.Process(lab.pool.workers[0].pid).kill()
        with pytest.raises(SpeechUnavailable):
            [segment async for segment in doomed]
        doomed.close()
    card = [
        Segment(start_ms=at, end_ms=at, text="four one one one" if not at else "one one one one") for at in range(4)
    ]
    assert [one.text for one in hearing.whole(card, "en")] == ["****"] * 4


async def test_audio_that_came_with_its_message_is_transcribed_too(lab: Lab) -> None:
    """Web chat and mail keep their files before they tell; nothing is fetched."""
    ref = await lab.blobs.put(NOTE)
    media = Media(id="med_c", mime="audio/ogg", status="stored", sha256=ref.removeprefix(PREFIX), voice=True)

    class Codec(TelegramCodec):
        def decode(self, raw: RawEvent) -> Any:
            for item in super().decode(raw):
                if isinstance(item, Event) and isinstance(item.params, MessageParams):
                    message = msgspec.structs.replace(item.params.message, parts=(Audio(media=media),))
                    yield msgspec.structs.replace(item, params=msgspec.structs.replace(item.params, message=message))

    it = lab.rig
    intake = Intake(
        ref=it.channel, codec=Codec(), config=ChannelConfig(), window_secs=3600, pipeline=it.pipeline,
        quarantine=it.quarantine, blobs=lab.blobs, gate=Gate(100), speech=lab.jobs,
    )  # fmt: skip
    async with lab.running():
        await intake(it.raw(1))
        received, told = await lab.until(2)
    assert [name for name, _ in lab.told] == ["message.received", "message.transcribed"]
    assert told["message"]["id"] == received["message"]["id"]
    assert told["text"] == WORDS
