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


WINDOW, FRAME, BLOCK = 800, 160, 20
"""Samples: 100 ms, of which each must be found; 20 ms, by which a jitter buffer inserts; and what is told apart."""
MOST_SECS = 1.5
"""How much may be inserted in all."""
ALIKE = 0.99
"""Correlation of a window that is what was sent."""
_BLEND = 5
"""Blocks about a seam in which PJSIP blends what it inserted with what follows: 10 ms, and so a block more. They are
left out of the comparison."""
_QUIET = 64
Lags = NDArray[np.int_]


class Found(NamedTuple):
    """A window of what was sent, in what was heard.

    Attributes:
        lag: where its end is, in samples after its own place.
        likeness: correlation, -1 to 1, without what was inserted within it; 1 for silence that is silent.
        inserted: samples that were inserted within it; less than 0 where something is missing.
    """

    lag: int
    likeness: float
    inserted: int = 0


def trace(sent: Pcm, heard: Pcm) -> list[Found]:
    """Find each window of what was sent in what was heard, one after the other.

    Anywhere whole frames may have been inserted: a jitter buffer does so when a packet is late. Nothing may be missing,
    changed, or elsewhere; a window of which that is not so is unlike. The very first frame is not looked at: it is lost
    where it comes before PJSIP's bridge listens (connectors/sip/README.md, "the caller speaks at once").
    """
    if sent.size < WINDOW:
        return []
    begin = _begin(sent, heard)
    straight = _windows(sent, heard, np.full(sent.size // BLOCK, begin))
    if all(one.likeness >= ALIKE for one in straight):
        return straight
    return _windows(sent, heard, _path(sent, heard, begin))


def lost(sent: Pcm, heard: Pcm, *, alike: float = ALIKE) -> list[str]:
    """Say what of the sent sound was not heard as it was; nothing is good. All of what was sent must be there."""
    wrong: list[str] = []
    for number, one in enumerate(trace(sent, heard)):
        if one.likeness < alike:
            more = f", {one.inserted} inserted" if one.inserted else ""
            wrong.append(f"at {number * WINDOW / RATE:g} s: {one.likeness:.3f}{more}")
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


def _begin(sent: Pcm, heard: Pcm) -> int:
    """Find at which lag one window is that can be heard: the first that is found for sure, else the surest."""
    places = [(0.0, 0)]
    for begin in range(0, sent.size - WINDOW + 1, WINDOW):
        if not is_quiet(window := sent[begin : begin + WINDOW]):
            place, sure = _search(window, heard)
            places.append((sure, place - begin))
            if sure >= ALIKE:
                break
    return max(places)[1]


def _search(piece: Pcm, heard: Pcm) -> tuple[int, float]:
    """Find where `piece` begins, and how sure that is: by normalised cross-correlation."""
    part, needle = heard.astype(float), piece.astype(float)
    if part.size < needle.size:
        return 0, 0.0
    size = 1 << (needle.size + part.size).bit_length()
    spectrum = np.fft.rfft(part, size) * np.conj(np.fft.rfft(needle, size))
    products = np.fft.irfft(spectrum, size)[: part.size - needle.size + 1]
    energies = np.cumsum(np.concatenate([[0.0], part**2]))
    energy = np.maximum(energies[needle.size :] - energies[: -needle.size], 1.0)
    alike = products / np.sqrt(energy * max(float(needle @ needle), 1.0))
    best = int(np.argmax(alike))
    return best, float(alike[best])


def _path(sent: Pcm, heard: Pcm, begin: int) -> Lags:
    """Find at which lag each block is: whole frames before or after `begin`, so that all is most alike (Viterbi).

    That something is inserted costs little, that something is missing much.
    """
    reach = int(MOST_SECS * RATE) // FRAME
    lags = begin + FRAME * np.arange(-reach, reach + 1)
    errors = np.stack([_errors(sent, heard, int(lag)) for lag in lags], axis=1)
    inserting, missing = BLOCK * 256.0, 4 * WINDOW * float(np.mean(sent.astype(float) ** 2)) + 1e6
    costs, numbers, came = errors[0], np.arange(lags.size), []
    for error in errors[1:]:
        least = np.minimum.accumulate(costs)
        lower = np.maximum.accumulate(np.where(costs <= least, numbers, 0))
        grown = np.append(np.inf, least[:-1]) + inserting
        best = int(np.argmin(costs))
        source = np.where(grown <= costs, np.append(0, lower[:-1]), numbers)  # as late as possible
        costs = np.minimum(grown, costs)
        source[costs > costs[best] + missing] = best
        costs = np.minimum(costs, costs[best] + missing) + error
        came.append(source)
    path = [int(np.argmin(costs))]
    for source in reversed(came):
        path.append(int(source[path[-1]]))
    return np.array(lags[path[::-1]])


def _errors(sent: Pcm, heard: Pcm, lag: int) -> NDArray[np.float64]:
    """Return for each block how much energy of it is not heard at a lag, or is more."""
    there, _ = _at(heard, np.arange(sent.size // BLOCK * BLOCK) + lag)
    return np.asarray(((there - sent[: there.size]) ** 2).reshape(-1, BLOCK).sum(axis=1))


def _at(heard: Pcm, places: Lags) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return what was heard at some places, silence beyond it, and which of them there are."""
    known = (places >= 0) & (places < heard.size)
    return np.append(heard, np.int16(0)).astype(float)[np.where(known, places, -1)], known


def _windows(sent: Pcm, heard: Pcm, path: Lags) -> list[Found]:
    """Compare each window with what was heard on a path."""
    there, known = _at(heard, np.arange(path.size * BLOCK) + np.repeat(path, BLOCK))
    clear = np.repeat(~_blended(sent, there, path), BLOCK)
    found, lag = [], int(path[0])
    for begin in range(0, sent.size - WINDOW + 1, WINDOW):
        whole = slice(begin, begin + WINDOW)
        before, lag = lag, int(path[(begin + WINDOW) // BLOCK - 1])
        part = clear[whole]
        if (np.diff(path[max(0, begin // BLOCK - 1) : (begin + WINDOW) // BLOCK]) < 0).any():
            alike = -1.0  # something is missing
        elif not known[whole].all() or not part.any():
            alike = 0.0
        else:
            alike = likeness(sent[whole][part], there[whole][part].astype(np.int16))
        found.append(Found(lag, alike, lag - before))
    return found


def _blended(sent: Pcm, there: NDArray[np.float64], path: Lags) -> NDArray[np.bool_]:
    """Tell which blocks are not to be compared: the first frame, and those about a seam that differ most.

    A seam in silence may be anywhere in it, so its end is taken for one too.
    """
    said = sent[: there.size].astype(float).reshape(-1, BLOCK)
    errors = ((there.reshape(-1, BLOCK) - said) ** 2).sum(axis=1)
    silent = np.abs(said).max(axis=1) < _QUIET
    blended = np.zeros(path.size, dtype=np.bool_)
    blended[: FRAME // BLOCK] = True
    for seam in [0, *(np.flatnonzero(np.diff(path)) + 1)]:
        loud = np.flatnonzero(~silent[seam:])
        for place in {seam, seam + int(loud[0]) if loud.size else seam}:
            first = max(0, place - _BLEND)
            begin = max(range(first, place + 1), key=lambda one: float(errors[one : one + _BLEND].sum()))
            blended[begin : begin + _BLEND] = True
    return blended
