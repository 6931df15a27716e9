"""Sound to send and to compare: 16-bit PCM as numpy arrays, 8 kHz unless said otherwise."""

from __future__ import annotations

import itertools
import wave
from pathlib import Path
from typing import NamedTuple

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


class Match(NamedTuple):
    """How a piece of what was sent is found in what was heard.

    Attributes:
        lag: where it is, in samples after its own place.
        likeness: correlation there, -1 to 1; 1 for silence that is silent.
    """

    lag: int
    likeness: float


def match(sent: Pcm, heard: Pcm, *, window: int = 800, most_secs: float = 1.0) -> list[Match]:
    """Find each window (100 ms) of what was sent in what was heard, not far from where the one before it was.

    A jitter buffer may insert sound when a packet is late, so the lag may grow; where it shrinks, sound is missing.
    """
    found: list[Match] = []
    lag = _lag(sent, heard, 0, heard.size)
    for begin in range(0, sent.size - window + 1, window):
        piece = sent[begin : begin + window]
        lag = found[-1].lag if found else lag
        best = Match(lag, likeness(piece, heard[max(0, begin + lag) : max(0, begin + lag + window)]))
        if best.likeness < 0.98:
            first = max(0, begin + lag - int(0.1 * RATE))
            there = heard[first : begin + lag + int(most_secs * RATE)]
            other = first + _lag(piece, there, 0, there.size) - begin
            again = Match(other, likeness(piece, heard[max(0, begin + other) : max(0, begin + other + window)]))
            best = max(best, again, key=lambda one: one.likeness)
        found.append(best)
    return found


def likeness(one: Pcm, other: Pcm) -> float:
    """Return the correlation of two pieces; 0 when one is missing, 1 when both are silent."""
    if one.size != other.size:
        return 0.0
    quiet = np.abs(one).max(initial=0) < 64, np.abs(other).max(initial=0) < 64
    if any(quiet):
        return float(all(quiet))
    return float(np.corrcoef(one, other)[0, 1])


def faithful(sent: Pcm, heard: Pcm) -> tuple[float, int]:
    """Return the share of windows that were heard as they were sent (0.99), and how often something is missing.

    Nothing was, if less was heard than sent.
    """
    if heard.size < sent.size:
        return 0.0, 0
    found = match(sent, heard)
    good = [one for one in found if one.likeness >= 0.99]
    missing = sum(later.lag < earlier.lag - RATE // 1000 for earlier, later in itertools.pairwise(good))
    return len(good) / len(found), missing


def _lag(needle: Pcm, haystack: Pcm, first: int, last: int) -> int:
    """Find where `needle` begins in a part of `haystack`, by cross-correlation."""
    part = haystack[first:last].astype(float)
    if part.size < needle.size:
        return first
    size = 1 << (needle.size + part.size).bit_length()
    spectrum = np.fft.rfft(part, size) * np.conj(np.fft.rfft(needle.astype(float), size))
    return first + int(np.argmax(np.fft.irfft(spectrum, size)[: part.size - needle.size // 2]))
