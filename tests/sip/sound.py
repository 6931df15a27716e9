"""Sound to send and to compare: 16-bit PCM as numpy arrays, 8 kHz unless said otherwise."""

from __future__ import annotations

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


WINDOW, PIECE = 800, 160
"""Samples: 100 ms, of which each must be found; and 20 ms, by which it is looked where sound was inserted."""
MOST_SECS = 1.5
"""How much may be inserted in one place."""
ALIKE, SEAM = 0.99, 0.93
"""Correlation of a window that is what was sent; and of one within or before which sound was inserted: PJSIP blends
some 10 ms there. (A frame of 20 ms that is something else makes it 0.89 or less, where all is equally loud.)"""
_QUIET = 64


class Found(NamedTuple):
    """A window of what was sent, in what was heard.

    Attributes:
        lag: where its end is, in samples after its own place.
        likeness: correlation, -1 to 1, without what was inserted within it; 1 for silence that is silent.
        inserted: samples that were inserted within it.
    """

    lag: int
    likeness: float
    inserted: int = 0


def trace(sent: Pcm, heard: Pcm) -> list[Found]:
    """Find each window of what was sent in what was heard, one after the other.

    Between any two samples something may have been inserted: a jitter buffer does so when a packet is late. Nothing may
    be missing, changed, or elsewhere; a window of which that is not so is unlike.
    """
    found: list[Found] = []
    lag = _begin(sent, heard)
    for begin in range(0, sent.size - WINDOW + 1, WINDOW):
        piece = sent[begin : begin + WINDOW]
        one = Found(lag, likeness(piece, _at(heard, begin + lag)))
        if one.likeness < ALIKE:
            one = max(one, _stretched(sent, heard, begin, lag), key=lambda it: it.likeness)
        if one.likeness < SEAM:  # where it is earlier than it should be, something is missing before it
            after, sure = _search(piece, heard, begin + lag - int(MOST_SECS * RATE), begin + lag)
            one = Found(after - begin, -1.0) if sure >= ALIKE else one
        lag = one.lag
        found.append(one)
    return found


def lost(sent: Pcm, heard: Pcm, *, alike: float = ALIKE) -> list[str]:
    """Say what of the sent sound was not heard as it was; nothing is good. All of what was sent must be there."""
    wrong: list[str] = []
    seam = True
    for number, one in enumerate(trace(sent, heard)):
        if one.likeness < (min(alike, SEAM) if seam or one.inserted else alike):
            more = f", {one.inserted} inserted" if one.inserted else ""
            wrong.append(f"at {number * WINDOW / RATE:g} s: {one.likeness:.3f}{more}")
        seam = one.inserted > 0 or is_quiet(sent[number * WINDOW : (number + 1) * WINDOW])
    return wrong


def likeness(one: Pcm, other: Pcm) -> float:
    """Return the correlation of two pieces; 0 when one is shorter or silent, 1 when both are silent."""
    if one.size != other.size:
        return 0.0
    quiet = is_quiet(one), is_quiet(other)
    if any(quiet):
        return float(all(quiet))
    return float(np.corrcoef(one, other)[0, 1])


def is_quiet(pcm: Pcm) -> bool:
    """Tell whether there is nothing to hear."""
    return bool(np.abs(pcm.astype(np.int32)).max(initial=0) < _QUIET)


def _at(heard: Pcm, begin: int) -> Pcm:
    return heard[max(0, begin) : max(0, begin + WINDOW)]


def _begin(sent: Pcm, heard: Pcm) -> int:
    """Find where the first window that can be heard begins; sound may have been inserted within it already."""
    for begin in range(0, sent.size - WINDOW + 1, WINDOW):
        if not is_quiet(window := sent[begin : begin + WINDOW]):
            lag = _search(window, heard, 0, heard.size)[0] - begin
            return min(_lags(sent, heard, begin, begin + WINDOW, lag - int(MOST_SECS * RATE), lag), default=lag)
    return 0


def _lags(sent: Pcm, heard: Pcm, begin: int, end: int, least: int, most: int) -> set[int]:
    """Find pieces of a part of what was sent, and return at which lags they were heard."""
    lags: set[int] = set()
    for at in range(begin, min(end, sent.size) - PIECE + 1, PIECE // 2):
        if not is_quiet(piece := sent[at : at + PIECE]):
            place, sure = _search(piece, heard, at + least, at + most)
            if sure > 0.98:
                lags.add(place - at)
    return lags


def _search(piece: Pcm, heard: Pcm, first: int, last: int) -> tuple[int, float]:
    """Find where between two places `piece` begins, and how sure that is: by normalised cross-correlation."""
    first = max(0, first)
    part, needle = heard[first : max(first, last) + piece.size].astype(float), piece.astype(float)
    if part.size < needle.size:
        return first, 0.0
    size = 1 << (needle.size + part.size).bit_length()
    spectrum = np.fft.rfft(part, size) * np.conj(np.fft.rfft(needle, size))
    products = np.fft.irfft(spectrum, size)[: part.size - needle.size + 1]
    energies = np.cumsum(np.concatenate([[0.0], part**2]))
    energy = np.maximum(energies[needle.size :] - energies[: -needle.size], 1.0)
    likeness = products / np.sqrt(energy * max(float(needle @ needle), 1.0))
    best = int(np.argmax(likeness))
    return first + best, float(likeness[best])


def _stretched(sent: Pcm, heard: Pcm, begin: int, lag: int) -> Found:
    """Find a window that has inserted sound in it."""
    lags = _lags(sent, heard, begin, begin + 2 * WINDOW, lag, lag + int(MOST_SECS * RATE)) | {lag}
    return _composed(sent[begin : begin + WINDOW], heard, begin, sorted(lags))


def _composed(piece: Pcm, heard: Pcm, begin: int, lags: list[int]) -> Found:
    """Compose a window of sound at lags that only grow, so that it is most like what was sent (Viterbi)."""
    rows, columns = np.array(lags)[:, None], np.arange(piece.size)[None, :]
    places = begin + rows + columns
    known, padded = (places >= 0) & (places < heard.size), np.append(heard, 0).astype(float)
    there = padded[np.where(known, places, -1)]
    errors = (there - piece) ** 2
    jump = 0.001 * float(np.sum(piece.astype(float) ** 2)) + 1.0  # not for the sake of a few samples
    costs: list[float] = errors[:, 0].tolist()
    came: list[list[int]] = [[]]
    for column in errors.T[1:].tolist():
        least, source, sources = float("inf"), 0, []
        for row, cost in enumerate(costs):
            jumps = least + jump < cost
            sources.append(source if jumps else row)
            costs[row] = (least + jump if jumps else cost) + column[row]
            if cost < least:
                least, source = cost, row
        came.append(sources)
    path = [int(np.argmin(costs))]
    for sources in came[:0:-1]:
        path.append(sources[path[-1]])
    path.reverse()
    composed = there[path, np.arange(piece.size)].astype(np.int16)
    return Found(lags[path[-1]], likeness(piece, composed), lags[path[-1]] - lags[0])
