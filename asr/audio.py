"""Sound out of files: any format a customer may send becomes 16-bit samples at the rate of a recogniser.

FFmpeg through PyAV (https://pyav.basswood-io.com/docs/stable/), and silk-python for Silk, the codec of WeChat's and
QQ's voice notes, which FFmpeg does not decode. Only these two are imported for it, and only here.

Files come from strangers. Only demuxers of `FORMATS` are tried: playlists, which make FFmpeg open other files and
addresses, are not among them. Whoever decodes a stranger's file does so in a process of its own (`asr.decoding`).
"""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.audio.resampler import AudioResampler

from asr.errors import Unreadable
from asr.sound import BYTES, MAX_SECS

FORMATS = "ogg,mp3,wav,w64,aac,amr,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,flac,caf,aiff,au,asf"
_SILK = (
    b"#!SILK_V3",
    b"\x02#!SILK_V3",
)  # WeChat and QQ put a byte before it
_SILK_RATES = (8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000)
_PIECES = 16  # that a decoder thread may be ahead
Source = Path | bytes | BinaryIO


def decode(source: Source, rate: int, *, channel: int | None = None, max_secs: float = MAX_SECS) -> Iterator[bytes]:
    """Decode the first audio stream of a file, piece by piece; memory does not grow with its length.

    A file that is damaged or was cut off gives what is good in it.

    Args:
        source: path, content, or a file object that can seek.
        rate: samples per second of what is returned.
        channel: which of the file's channels, from 0; all mixed into one by default.
        max_secs: what is longer is refused: at once if the file says how long it is, else when that is reached.

    Returns:
        Pieces of 16-bit little-endian mono samples.

    Raises:
        Unreadable: by what is wrong with it; also while iterating.
    """
    limit = int(max_secs * rate) * BYTES
    taken = 0
    for piece in _until_damage(_pieces(source, rate, channel, max_secs)):
        taken += len(piece)
        if taken > limit:
            raise Unreadable(f"longer than {max_secs:g} s", "too_long")
        yield piece
    if not taken:
        raise Unreadable("there is no sound in it", "no_audio")


def _until_damage(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Take the end of what can be read for the end, if anything can."""
    good = False
    try:
        for piece in pieces:
            if piece:
                good = True
                yield piece
    except Unreadable as exc:
        if not good or exc.code != "unreadable":
            raise


def _pieces(source: Source, rate: int, channel: int | None, max_secs: float) -> Iterator[bytes]:
    file = (
        source.open("rb") if isinstance(source, Path) else io.BytesIO(source) if isinstance(source, bytes) else source
    )
    try:
        head = file.read(len(_SILK[1]))
        file.seek(0)
        if head.startswith(_SILK):
            yield from _silk(file, rate)
            return
        try:
            yield from _ffmpeg(file, rate, channel, max_secs)
        except (av.FFmpegError, ValueError) as exc:
            raise Unreadable(f"it cannot be decoded: {getattr(exc, 'strerror', None) or exc}") from exc
    finally:
        if file is not source:
            file.close()


def _ffmpeg(file: BinaryIO, rate: int, channel: int | None, max_secs: float) -> Iterator[bytes]:
    with av.open(file, "r", options={"format_whitelist": FORMATS}, metadata_errors="replace") as container:
        if not container.streams.audio:
            raise Unreadable("there is no sound in it", "no_audio")
        stream = container.streams.audio[0]
        if container.duration is not None and container.duration > max_secs * 1_000_000:
            raise Unreadable(f"longer than {max_secs:g} s", "too_long")
        channels = stream.codec_context.channels
        if channel is not None and channel >= channels:
            raise Unreadable(f"it has no channel {channel}", "no_audio")
        layout = "mono" if channel is None or channels == 1 else stream.codec_context.layout.name
        resampler = Resampler(rate, layout=layout, plane=channel if layout != "mono" else None)
        good, fault = False, None
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError as exc:
                fault = exc
                continue
            for frame in frames:
                good = True
                yield resampler.take(frame)
        if fault is not None and not good:
            raise fault
        yield resampler.take(None)


class Resampler:
    """Brings frames to one rate and one channel; keeps its state between frames, so that nothing clicks."""

    def __init__(self, rate: int, *, layout: str = "mono", plane: int | None = None) -> None:
        """Mix into `layout`; with `plane` return only that channel of it."""
        self._plane = plane
        self._inner = AudioResampler(format="s16p", layout=layout, rate=rate)

    def take(self, frame: Any) -> bytes:
        """Return what a frame becomes; None flushes."""
        found = self._inner.resample(frame)
        return b"".join(bytes(out.planes[self._plane or 0])[: out.samples * BYTES] for out in found)


class RateConverter:
    """Brings raw 16-bit mono samples from one rate to another."""

    def __init__(self, source: int, target: int) -> None:
        """Convert from `source` to `target` samples per second."""
        self._source, self._resampler = source, Resampler(target)

    def take(self, pcm: bytes) -> bytes:
        """Convert a piece; a few samples stay behind for the next."""
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // BYTES)
        frame.sample_rate = self._source
        frame.planes[0].update(pcm + bytes(frame.planes[0].buffer_size - len(pcm)))
        return self._resampler.take(frame)


def _silk(file: BinaryIO, rate: int) -> Iterator[bytes]:
    try:
        import pysilk  # noqa: PLC0415 -- few files need it
    except ImportError:
        raise Unreadable("it is Silk, and silk-python is not installed (omnigate[asr])", "unsupported") from None
    native = min((one for one in _SILK_RATES if one >= rate), default=_SILK_RATES[-1])
    convert = RateConverter(native, rate) if native != rate else None
    sink = _Pipe()

    def work() -> None:
        try:
            pysilk.decode(file, sink, native)
        except _Enough:
            pass
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the file is to blame
            sink.error = exc
        sink.pieces.put(b"")

    thread = threading.Thread(target=work, name="silk", daemon=True)
    thread.start()
    try:
        while piece := sink.pieces.get():
            yield convert.take(piece) if convert else piece
    finally:
        sink.closed = True
        while thread.is_alive():  # it may wait for room
            _drain(sink.pieces)
            thread.join(0.01)
    if sink.error is not None:
        raise Unreadable(f"it cannot be decoded as Silk: {sink.error}")


class _Enough(Exception):
    """Nobody reads any more."""


class _Pipe:
    """What the decoder of Silk writes to, in its own thread."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[bytes] = queue.Queue(_PIECES)
        self.error: Exception | None = None
        self.closed = False

    def read(self, _size: int = -1) -> bytes:
        """Have nothing; silk-python asks for files that have both."""
        return b""

    def write(self, data: bytes) -> int:
        """Hand on a piece, waiting while the reader is behind."""
        if self.closed:
            raise _Enough
        if data:
            self.pieces.put(bytes(data))
        return len(data)


def _drain(pieces: queue.Queue[bytes]) -> None:
    while True:
        try:
            pieces.get_nowait()
        except queue.Empty:
            return
