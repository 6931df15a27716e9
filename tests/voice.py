"""Spoken samples, in every format in which somebody may send them, and the tiny model that knows their words."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import av
import pysilk

DATA = Path(__file__).parent / "data"
MODEL = DATA / "vosk-tiny-en"
RATE = 8_000
SAMPLES: dict[str, str] = {
    one["file"].removesuffix(".wav"): one["text"]
    for one in json.loads((DATA / "vosk-tiny-samples/samples.json").read_text())
}
"""Name of a sample → what is said in it; nothing in silence and noises."""
SPOKEN = {name: text for name, text in SAMPLES.items() if text}
QUIET = [name for name, text in SAMPLES.items() if not text]


class Format(NamedTuple):
    """A container, and what FFmpeg calls the codec in it."""

    container: str
    codec: str
    rate: int
    mime: str


FORMATS = {
    "opus": Format("ogg", "libopus", 48_000, "audio/ogg"),
    "mp3": Format("mp3", "libmp3lame", 16_000, "audio/mpeg"),
    "m4a": Format("mp4", "aac", 16_000, "audio/mp4"),
    "aac": Format("adts", "aac", 16_000, "audio/aac"),
    "amr": Format("amr", "libopencore_amrnb", 8_000, "audio/amr"),
    "webm": Format("webm", "libopus", 48_000, "audio/webm"),
    "wav": Format("wav", "pcm_s16le", 16_000, "audio/wav"),
}


def path(name: str) -> Path:
    """Return where a sample is."""
    return DATA / "vosk-tiny-samples" / f"{name}.wav"


def pcm(name: str) -> bytes:
    """Return a sample as 16-bit samples at `RATE`."""
    with wave.open(str(path(name))) as file:
        return file.readframes(file.getnframes())


def encode(sound: bytes, form: str, *, channels: int = 1) -> bytes:
    """Encode samples at `RATE` (interleaved, where there are several channels) as somebody's telephone does."""
    if form == "silk":
        out = io.BytesIO()
        pysilk.encode(io.BytesIO(sound), out, RATE, 24_000)
        return out.getvalue()
    container, codec, rate, _ = FORMATS[form]
    layout, out = ("mono", "stereo")[channels - 1], io.BytesIO()
    with av.open(out, "w", format=container) as target:
        stream = target.add_stream(codec, rate=rate)
        stream.layout = layout
        frame = av.AudioFrame(format="s16", layout=layout, samples=len(sound) // 2 // channels)
        frame.sample_rate = RATE
        frame.planes[0].update(sound + bytes(frame.planes[0].buffer_size - len(sound)))
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            target.mux(packet)
    return out.getvalue()


def stereo(left: bytes, right: bytes) -> bytes:
    """Interleave two voices; the shorter one is followed by silence."""
    length = max(len(left), len(right))
    left, right = left.ljust(length, b"\0"), right.ljust(length, b"\0")
    return b"".join(left[at : at + 2] + right[at : at + 2] for at in range(0, length, 2))


def wav(sound: bytes, *, channels: int = 1) -> bytes:
    """Make a WAV of samples at `RATE`."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound)
    return out.getvalue()


def errors(expected: str, heard: str) -> int:
    """Count the words that must be replaced, added or taken away (Levenshtein)."""
    return _distance(expected.split(), heard.split())


def _distance(a: Sequence[str], b: Sequence[str]) -> int:
    row = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (one != other))
    return row[-1]
