"""WAV as recordings have it: RIFF, 16-bit PCM, two channels (http://soundfile.sapp.org/doc/WaveFormat/)."""

from __future__ import annotations

import struct
from array import array

CHANNELS, WIDTH = 2, 2
FRAME = CHANNELS * WIDTH
"""Bytes of one frame: a sample of each channel."""
HEADER = 44
MAX_BYTES = 2**32 - 1 - (HEADER - 8)
"""RIFF counts its bytes with 32 bits; a recording ends before (`max_frames`), so RF64 is not needed."""


def header(data_bytes: int, rate: int) -> bytes:
    """Return the `HEADER` bytes before `data_bytes` of sound."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", HEADER - 8 + data_bytes, b"WAVE"),
        *(b"fmt ", 16, 1, CHANNELS, rate, rate * FRAME, FRAME, 8 * WIDTH),
        *(b"data", data_bytes),
    )


def max_frames(rate: int, max_secs: float) -> int:
    """Return how many frames a recording may have."""
    return min(int(rate * max_secs), MAX_BYTES // FRAME)


def interleave(left: bytes, right: bytes) -> bytes:
    """Make two mono legs of equal length one stereo sound."""
    both = array("h", bytes(2 * len(left)))
    both[0::2], both[1::2] = array("h", left), array("h", right)
    return both.tobytes()
