"""Sound to send and to compare: 16-bit PCM as numpy arrays, 8 kHz unless said otherwise."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
RATE = 8000
_BIAS, _CLIP = 0x84, 32635


def read(path: Path) -> Pcm:
    """Read a 16-bit WAV; shape (frames,) for one channel, else (frames, channels)."""
    with wave.open(str(path), "rb") as file:
        data = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return data if file.getnchannels() == 1 else data.reshape(-1, file.getnchannels())


def write(path: Path, pcm: Pcm, rate: int = RATE) -> Path:
    """Write a 16-bit WAV of one channel."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())
    return path


def encode_ulaw(pcm: Pcm) -> bytes:
    """Compress to mu-law (ITU-T G.711)."""
    value = pcm.astype(np.int32)
    sign = np.where(value < 0, 0x80, 0)
    value = np.minimum(np.abs(value), _CLIP) + _BIAS
    exponent = np.floor(np.log2(value)).astype(np.int32) - 7
    mantissa = (value >> (exponent + 3)) & 0x0F
    coded: bytes = (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8).tobytes()
    return coded


def sweep(secs: float, *, seed: int = 1) -> Pcm:
    """Make a sound that is nowhere like itself a little later, so that a gap or a repeated frame shows: slow noise."""
    noise = np.random.default_rng(seed).normal(size=round(secs * RATE))
    smooth = np.convolve(noise, np.hanning(12) / 4, mode="same")  # below 1 kHz or so, as telephones like it
    return np.asarray(smooth / np.abs(smooth).max() * 12_000, dtype=np.int16)


def find(needle: Pcm, haystack: Pcm) -> int:
    """Find where `needle` begins in `haystack` (by cross-correlation; samples, may be negative)."""
    size = 1 << (needle.size + haystack.size - 1).bit_length()
    spectrum = np.fft.rfft(haystack.astype(float), size) * np.conj(np.fft.rfft(needle.astype(float), size))
    at = int(np.argmax(np.fft.irfft(spectrum, size)))
    return at if at < size // 2 else at - size


def similarity(sent: Pcm, heard: Pcm) -> float:
    """Return the correlation of what was sent with where it is in what was heard, -1 to 1."""
    at = find(sent, heard)
    begin, end = max(0, -at), min(sent.size, heard.size - at)
    if end - begin < RATE // 10:
        return 0.0
    return float(np.corrcoef(sent[begin:end], heard[at + begin : at + end])[0, 1])


def frames_alike(sent: Pcm, heard: Pcm, *, frame: int = 160, least: float = 0.9) -> list[bool]:
    """Say for each 20 ms of what was sent whether it was heard at its place; silent frames count as heard."""
    at = find(sent, heard)
    found = []
    for begin in range(0, sent.size - frame + 1, frame):
        one, other = sent[begin : begin + frame], heard[max(0, at + begin) : max(0, at + begin + frame)]
        if np.abs(one).max() < 64:
            found.append(True)
        elif other.size < frame or not other.any():
            found.append(False)
        else:
            found.append(bool(np.corrcoef(one, other)[0, 1] >= least))
    return found
