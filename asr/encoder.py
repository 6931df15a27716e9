"""The process that encodes a recording: ``python -m asr.encoder``; see `asr.encoding`.

Samples come in on standard input. The file goes to standard output when all of it is made, because the frame of an MP3
that says how long it is and where its sound begins (LAME's header) is written last; what is wrong goes to standard
error as one line. It has the lowest priority but one: nobody waits for it, and calls must not feel it.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Any, BinaryIO, Literal

import av
import msgspec
from av.audio.resampler import AudioResampler
from msgspec import Struct

NICE = 15
BYTES = 2
"""Of a sample."""
BIT_RATE = 32_000
"""Bits per second and channel: transparent for telephone speech; an hour of two channels is 29 MB."""
_PIECE_FRAMES = 16_384
_LAYOUTS = {1: "mono", 2: "stereo"}
_CODECS = {"mp3": ("libmp3lame", "mp3"), "opus": ("libopus", "ogg")}
_RATES = {
    "mp3": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "opus": (8_000, 12_000, 16_000, 24_000, 48_000),
}
_FAILED = 1


class Task(Struct, frozen=True):
    """What to make, as JSON on the command line."""

    rate: int
    channels: int
    kind: Literal["mp3", "opus"]


def encode(source: BinaryIO, task: Task) -> memoryview:
    """Encode 16-bit little-endian interleaved samples, as long as they come; raises `av.FFmpegError`, `ValueError`."""
    if task.channels not in _LAYOUTS or task.rate <= 0:
        raise ValueError(f"{task.channels} channels at {task.rate} Hz")
    codec, container = _CODECS[task.kind]
    layout, rate = _LAYOUTS[task.channels], task.rate
    target = rate if rate in _RATES[task.kind] else 48_000
    resampler = AudioResampler(format="s16", layout=layout, rate=target) if target != rate else None
    file, done = io.BytesIO(), 0
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=target, layout=layout)
        stream.bit_rate = BIT_RATE * task.channels
        while piece := source.read(_PIECE_FRAMES * BYTES * task.channels):
            frame = av.AudioFrame(format="s16", layout=layout, samples=len(piece) // (BYTES * task.channels))
            frame.sample_rate, frame.pts = rate, done
            frame.planes[0].update(piece + bytes(frame.planes[0].buffer_size - len(piece)))
            done += frame.samples
            for one in resampler.resample(frame) if resampler else (frame,):
                output.mux(stream.encode(one))
        for one in resampler.resample(None) if resampler else ():
            output.mux(stream.encode(one))
        output.mux(stream.encode(None))
    return file.getbuffer()


def main(argument: str) -> int:
    """Encode; returns the exit status, 0 or 1."""
    task = msgspec.json.decode(argument, type=Task)
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        found = encode(sys.stdin.buffer, task)
    except (av.FFmpegError, ValueError, MemoryError) as exc:
        sys.stderr.write(str(exc) or type(exc).__name__)
        return _FAILED
    try:
        sys.stdout.buffer.write(found)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # nobody wants it any more
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
