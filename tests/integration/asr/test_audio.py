"""Sound out of files, of people who mean well and of others; in this process and in one of its own."""

from __future__ import annotations

import array
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import psutil
import pytest

from asr.audio import decode
from asr.decoding import decode_apart
from asr.errors import Unreadable
from tests import voice

SOUND = voice.pcm("en_seen_us")
SECS = len(SOUND) / 16_000
FORMATS = [*voice.FORMATS, "silk"]


def seconds(pcm: bytes, rate: int) -> float:
    return len(pcm) / 2 / rate


def likeness(one: bytes, other: bytes) -> float:
    """Return the best correlation of two sounds over all delays; codecs have some."""
    a, b = (np.frombuffer(sound, dtype="<i2").astype(float) for sound in (one, other))
    size = len(a) + len(b)
    products = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    return float(products.max() / (np.linalg.norm(a) * np.linalg.norm(b)))


@contextmanager
def file_of(data: bytes) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file


async def apart(data: bytes, rate: int = 8000, **options: float) -> bytes:
    with file_of(data) as file:
        return b"".join([piece async for piece in decode_apart(file, rate, **options)])  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("rate", [8000, 16_000])
def test_every_format_becomes_samples_of_the_same_sound(form: str, rate: int) -> None:
    pcm = b"".join(decode(voice.encode(SOUND, form), rate))

    assert seconds(pcm, rate) == pytest.approx(SECS, abs=0.15)
    if rate == 8000:
        assert likeness(SOUND, pcm) > (0.5 if form in {"amr", "silk"} else 0.9)


def test_an_odd_rate_is_possible_in_silk_too() -> None:
    assert seconds(b"".join(decode(voice.encode(SOUND, "silk"), 11_025)), 11_025) == pytest.approx(SECS, abs=0.1)


def test_a_path_and_a_file_are_read_as_bytes_are() -> None:
    path = voice.path("en_seen_us")
    with path.open("rb") as file:
        assert b"".join(decode(file, 8000)) == b"".join(decode(path, 8000)) == SOUND


def test_a_channel_of_two_is_had_alone_or_mixed() -> None:
    right = voice.pcm("en_yes")
    both = voice.wav(voice.stereo(SOUND, right), channels=2)

    assert b"".join(decode(both, 8000, channel=0)) == SOUND
    assert b"".join(decode(both, 8000, channel=1)) == right.ljust(len(SOUND), b"\0")
    assert seconds(b"".join(decode(both, 8000)), 8000) == pytest.approx(SECS, abs=0.01)
    with pytest.raises(Unreadable, match="channel 2") as caught:
        list(decode(both, 8000, channel=2))
    assert caught.value.code == "no_audio"


def picture() -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file, av.open(file.name, "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(stream.encode(None))
        container.close()
        return Path(file.name).read_bytes()


PLAYLIST = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{voice.path('en_yes')}\n#EXT-X-ENDLIST\n".encode()
CONCAT = f"ffconcat version 1.0\nfile {voice.path('en_yes')}\n".encode()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "unreadable"),
        (b"not sound at all", "unreadable"),
        (b"OggS" + b"\0" * 3000, "unreadable"),
        (b"#!SILK_V3", "no_audio"),
        (b"\x02#!SILK_V3\xff\x7f" + b"x" * 500, "unreadable"),
        (b"#!AMR\n", "no_audio"),
        (voice.wav(b""), "no_audio"),
        (picture(), "no_audio"),
        (PLAYLIST, "unreadable"),
        (CONCAT, "unreadable"),
    ],
    ids=["empty", "text", "ogg", "silk-head", "silk", "amr-head", "wav-head", "video", "playlist", "concat"],
)
async def test_what_is_no_sound_is_refused_with_a_reason(data: bytes, code: str) -> None:
    with pytest.raises(Unreadable) as here:
        list(decode(data, 8000))
    assert here.value.code == code
    with pytest.raises(Unreadable) as there:
        await apart(data)
    assert (there.value.code, str(there.value)) == (code, str(here.value))


@pytest.mark.parametrize("form", FORMATS)
async def test_a_file_that_was_cut_gives_what_is_there_or_a_reason(form: str) -> None:
    data = voice.encode(SOUND, form)
    try:
        pcm = await apart(data[: len(data) // 2])
    except Unreadable:
        assert form == "m4a"  # its directory is at the end
    else:
        assert 0 < seconds(pcm, 8000) < SECS


def test_ten_hours_are_refused_before_they_are_decoded() -> None:
    length = 36_000 * 16_000
    head = voice.wav(b"")
    claims = head[:4] + (length + 36).to_bytes(4, "little") + head[8:40] + length.to_bytes(4, "little")
    started = time.monotonic()
    with file_of(claims) as file:
        file.truncate(length + 44)  # a hole: it takes no room
        with pytest.raises(Unreadable) as caught:
            list(decode(file, 8000, max_secs=3600))
    assert caught.value.code == "too_long"
    assert time.monotonic() - started < 30


async def test_a_small_file_that_becomes_hours_is_cut_off_in_bounded_memory() -> None:
    frame = voice.encode(bytes(1600), "amr")[6:][:13]
    bomb = b"#!AMR\n" + frame * 500_000  # nearly three hours; AMR does not say how long it is

    taken, most = 0, 0
    me = psutil.Process()

    async def read(file: BinaryIO) -> None:
        nonlocal taken, most
        async for piece in decode_apart(file, 8000, max_secs=600):
            taken += len(piece)
            most = max([most, *(child.memory_info().rss for child in me.children())])

    with file_of(bomb) as file, pytest.raises(Unreadable) as caught:
        await read(file)
    assert caught.value.code == "too_long"
    assert taken <= 600 * 16_000
    assert most < 400_000_000


async def test_a_decoder_that_nobody_reads_any_more_ends() -> None:
    with file_of(voice.wav(SOUND * 200)) as file:
        sound = decode_apart(file, 8000)
        await anext(sound)
        children = [one for one in psutil.Process().children() if "asr.decoder" in one.cmdline()]
        assert len(children) == 1
        await sound.aclose()
        assert not children[0].is_running()


async def test_noise_in_a_good_file_harms_nobody() -> None:
    for form in ("opus", "m4a", "silk"):
        data = array.array("B", voice.encode(SOUND, form))
        for at in range(100, len(data), 97):
            data[at] ^= 0x55
        try:
            pcm = await apart(data.tobytes())
        except Unreadable:
            continue
        assert seconds(pcm, 8000) < 60
