"""Sounds for tests, and how alike two of them are."""

from __future__ import annotations

import struct
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]


def sweep(secs: float, rate: int = 8000, *, low: float = 300.0, high: float = 1500.0, level: float = 9000.0) -> Samples:
    """A tone that rises, so that no part of it is like another."""
    at = np.arange(int(secs * rate)) / rate
    return (level * np.sin(2 * np.pi * (low + (high - low) * at / (2 * secs)) * at)).astype("<i2")


def likeness(one: Samples, other: Samples, *, slack: int = 0) -> float:
    """Correlation of two sounds of about the same length, at the best of the shifts up to `slack` samples."""
    best = -1.0
    for shift in range(-slack, slack + 1):
        first, second = one[max(0, shift) :], other[max(0, -shift) :]
        length = min(len(first), len(second))
        found = np.corrcoef(first[:length].astype(float), second[:length].astype(float))[0, 1]
        best = max(best, float(found))
    return best


def samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2")


def wav(form: str, rate: int, *channels: Samples) -> bytes:
    """A WAV file: `form` is one of u8, s16, s24, s32, f32, alaw, mulaw."""
    sound = np.stack(channels, 1).astype(np.int32)
    if form in {"alaw", "mulaw"}:
        return _encoded(f"pcm_{form}", rate, np.stack(channels, 1))
    tag, bits = (3, 32) if form == "f32" else (1, int(form[1:]))
    data = {
        "u8": ((sound >> 8) + 128).astype("u1"),
        "s16": sound.astype("<i2"),
        "s24": (sound << 8).astype("<i4").view("u1").reshape(-1, 4)[:, :3],
        "s32": (sound << 16).astype("<i4"),
        "f32": (sound / 32768).astype("<f4"),
    }[form].tobytes()
    frame = len(channels) * bits // 8
    head = struct.pack("<HHIIHH", tag, len(channels), rate, rate * frame, frame, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _encoded(codec: str, rate: int, sound: Samples) -> bytes:
    file = BytesIO()
    layout = {1: "mono", 2: "stereo"}[sound.shape[1]]
    with av.open(file, "w", format="wav") as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.reshape(1, -1)), format="s16", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def legs(file: bytes, rate: int = 8000) -> list[Samples]:
    """Decode a file of two channels as any player would."""
    with av.open(BytesIO(file)) as source:
        resampler = av.AudioResampler("s16", "stereo", rate)
        frames = [part for frame in source.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    both = np.concatenate([frame.to_ndarray().reshape(-1, 2) for frame in frames])
    return [both[:, 0], both[:, 1]]
