"""Prompts and exports: real files, real codecs, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from connectors.api import Context
from connectors.audio import Audio, AudioError, Format, NoAudio
from connectors.prompts import PromptMissing, Prompts, remarks
from gateway import audio
from gateway.audio import GatewayAudio
from gateway.blobs import BlobStore
from normalizer.model import ChannelRef
from normalizer.parts import Media
from tests.contexts import make_context
from tests.sounds import legs, likeness, samples, sweep, wav

CHANNEL = ChannelRef(id="line", type="sip")


class Counting(GatewayAudio):
    """Counts what it decodes."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0

    async def decode(self, source: Path | bytes, *, rate: int, max_secs: float) -> bytes:
        self.decoded += 1
        return await super().decode(source, rate=rate, max_secs=max_secs)


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
async def context(tmp_path: Path, counting: Counting) -> AsyncIterator[Context]:
    async with aiohttp.ClientSession() as http:
        yield make_context(CHANNEL, tmp_path, http, blobs=BlobStore(tmp_path), audio=counting)


@pytest.mark.parametrize(
    ("form", "rate", "channels"),
    [
        ("s16", 8000, 1),
        ("s16", 16000, 1),
        ("s16", 44100, 2),
        ("u8", 8000, 1),
        ("s24", 48000, 2),
        ("s32", 22050, 1),
        ("f32", 48000, 1),
        ("alaw", 8000, 1),
        ("mulaw", 8000, 1),
    ],
)
async def test_a_prompt_of_any_wav_is_heard_as_it_was(
    context: Context, tmp_path: Path, form: str, rate: int, channels: int
) -> None:
    file, sound = tmp_path / "hello.wav", sweep(1.5, rate)
    file.write_bytes(wav(form, rate, *[sound] * channels))

    pcm = samples(await Prompts(context, {"hello": str(file)}).sound("hello"))

    assert abs(len(pcm) - 1.5 * 8000) <= 2
    assert likeness(pcm, sweep(1.5, 8000), slack=2) > 0.995
    assert 0.9 < np.abs(pcm).max() / np.abs(sound).max() < 1.1


@pytest.mark.parametrize("rate", [8000, 16000])
async def test_what_is_stored_can_be_said(context: Context, rate: int) -> None:
    ref = await context.blobs.put(wav("s16", 16000, sweep(1, 16000)))
    url, _ = context.link(ref, mime="audio/wav", name=None)
    digest = ref.removeprefix("sha256:")
    prompts = Prompts(context, {"by-ref": ref, "by-link": url})

    first = await prompts.sound(Media(id="m", status="stored", sha256=digest), rate=rate)

    assert likeness(samples(first), sweep(1, rate), slack=2) > 0.99
    for other in (ref, url, "by-ref", "by-link"):
        assert await prompts.sound(other, rate=rate) == first


async def test_a_prompt_is_decoded_once_and_again_when_the_file_changes(
    context: Context, counting: Counting, tmp_path: Path
) -> None:
    file = tmp_path / "hello.wav"
    file.write_bytes(wav("s16", 8000, sweep(0.5)))
    prompts = Prompts(context, {"hello": str(file)})

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(prompts.sound("hello"))
    assert counting.decoded == 1
    file.write_bytes(wav("s16", 8000, sweep(0.25)))
    os.utime(file, ns=(1, 1))
    assert len(await prompts.sound("hello")) == 2 * 2000
    assert counting.decoded == 2
    assert await prompts.sound("hello", rate=16000) != await prompts.sound("hello")
    assert counting.decoded == 3


async def test_the_cache_has_room_for_what_was_used_last(context: Context, counting: Counting, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(wav("s16", 8000, sweep(0.1, low=ord(name))))
    prompts = Prompts(context, {name: str(tmp_path / name) for name in "abc"}, cache_bytes=2 * 1600)

    for name in "abaca":  # b goes for c
        await prompts.sound(name)
    assert counting.decoded == 3
    await prompts.sound("b")
    assert counting.decoded == 4


async def test_what_is_larger_than_the_cache_is_decoded_each_time(
    context: Context, counting: Counting, tmp_path: Path
) -> None:
    (tmp_path / "long.wav").write_bytes(wav("s16", 8000, sweep(1)))
    prompts = Prompts(context, {"long": str(tmp_path / "long.wav")}, cache_bytes=1000)

    assert len(await prompts.sound("long")) == len(await prompts.sound("long")) == 16000
    assert counting.decoded == 2


@pytest.mark.parametrize("what", ["nothing", "https://evil.example/a.wav", "sha256:00", "../../etc/passwd"])
async def test_what_is_neither_a_prompt_nor_stored_is_refused_by_name(context: Context, what: str) -> None:
    with pytest.raises(PromptMissing, match=r"hello, welcome"):
        await Prompts(context, {"hello": "a.wav", "welcome": "b.wav"}).sound(what)


async def test_every_fault_of_a_prompt_is_told_with_its_file(context: Context, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "long.wav").write_bytes(wav("s16", 8000, np.zeros(8000 * 601, "<i2")))
    (tmp_path / "huge.wav").touch()
    os.truncate(tmp_path / "huge.wav", 70_000_000)
    names = ["text", "long", "huge", "none"]
    prompts = Prompts(context, {name: str(tmp_path / f"{name}.wav") for name in names})

    wrong = await prompts.warm()

    assert list(wrong) == names
    assert all(f"{name}.wav" in wrong[name] for name in names)
    assert ["longer than" in wrong["long"], "larger than" in wrong["huge"], "No such file" in wrong["none"]] == [
        True
    ] * 3


async def test_a_stored_file_that_is_gone_or_no_sound_is_told(context: Context) -> None:
    prompts = Prompts(context, {})
    with pytest.raises(PromptMissing, match="no stored file"):
        await prompts.sound("sha256:" + "0" * 64)
    with pytest.raises(PromptMissing, match="only stored media"):
        await prompts.sound(Media(id="m", status="pending"))
    with pytest.raises(PromptMissing, match="the stored file"):
        await prompts.sound(await context.blobs.put(b"text"))


def test_a_check_of_the_configuration_names_prompts_that_cannot_be_played(tmp_path: Path) -> None:
    good, text = tmp_path / "good.wav", tmp_path / "text.wav"
    good.write_bytes(wav("s16", 8000, sweep(0.1)))
    text.write_text("hello " * 100)
    table = {"good": str(good), "stored": "sha256:" + "0" * 64, "text": str(text), "none": str(tmp_path / "none.wav")}

    found = {remark.path: remark.message for remark in remarks(table)}

    assert found == {
        "prompts.text": f"{text}: not a sound file",
        "prompts.none": f"{tmp_path / 'none.wav'}: No such file or directory",
    }


async def test_without_pyav_plain_wav_is_played_and_all_else_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "_has_av", lambda: False)
    sound, limits = GatewayAudio(), {"rate": 8000, "max_secs": 60.0}
    file = tmp_path / "a.wav"
    file.write_bytes(wav("s16", 8000, sweep(0.1)))

    assert samples(await sound.decode(file, **limits)).tolist() == sweep(0.1).tolist()
    for other in (wav("s16", 16000, sweep(0.1)), wav("alaw", 8000, sweep(0.1)), b"text"):
        with pytest.raises(AudioError, match="omnigate"):
            await sound.decode(other, **limits)
    with pytest.raises(AudioError, match="longer than"):
        await sound.decode(file, rate=8000, max_secs=0.05)
    with pytest.raises(AudioError, match="omnigate"):
        await exported(sound, [b"x"], "mp3")


async def exported(sound: Audio, pieces: list[bytes], kind: Format, rate: int = 8000) -> bytes:
    async def pcm() -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            yield piece

    return b"".join([piece async for piece in sound.export(pcm(), rate=rate, channels=2, kind=kind)])


@pytest.mark.parametrize("kind", ["mp3", "opus"])
@pytest.mark.parametrize("rate", [8000, 16000])
async def test_an_export_has_the_length_and_the_legs_of_the_recording(kind: Format, rate: int) -> None:
    left, right = sweep(4.123, rate), sweep(4.123, rate, low=1400, high=500, level=5000)
    pcm = np.stack([left, right], 1).tobytes()

    file = await exported(GatewayAudio(), [pcm[:40_001], pcm[40_001:]], kind, rate)

    assert len(file) < len(pcm) / 2
    first, second = legs(file, rate)
    assert len(first) == len(left)
    assert likeness(first, left) > 0.98
    assert likeness(second, right) > 0.98


async def test_sound_at_a_rate_the_codec_does_not_know_is_brought_to_another() -> None:
    left = sweep(2, 11025)

    file = await exported(GatewayAudio(), [np.stack([left, left], 1).tobytes()], "opus", 11025)

    first, _ = legs(file, 8000)
    assert abs(len(first) - 16000) <= 8
    assert likeness(first, sweep(2), slack=8) > 0.9


async def test_what_breaks_off_ends_the_encoder_and_is_told() -> None:
    async def pcm() -> AsyncGenerator[bytes, None]:
        yield bytes(100_000)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        async for _ in GatewayAudio().export(pcm(), rate=8000, channels=2, kind="mp3"):
            pass


async def test_what_cannot_be_encoded_is_told() -> None:
    with pytest.raises(AudioError, match="2 channels at 0 Hz"):
        await exported(GatewayAudio(), [bytes(8)], "opus", rate=0)


async def test_outside_a_gateway_there_is_no_audio() -> None:
    with pytest.raises(AudioError):
        await NoAudio().decode(b"", rate=8000, max_secs=1)
    with pytest.raises(AudioError):
        await exported(NoAudio(), [], "mp3")
