"""Sound files for connectors (`connectors.audio.Audio`), by the package `asr` where its libraries are installed.

Without them a WAV file of 16-bit PCM that has the right rate already is read all the same: prompts are often that.
"""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncGenerator, AsyncIterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from connectors.audio import AudioError, Format
from gateway.blob_reading import memory_file

AT_ONCE = 2
"""Recordings that are being encoded at the same time."""
HINT = "install omnigate[asr] (PyAV)"


class GatewayAudio:
    """See the module; one for all channels."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._exports = asyncio.Semaphore(AT_ONCE)

    async def decode(self, source: Path | bytes, *, rate: int, max_secs: float) -> bytes:
        """See `connectors.audio.Audio`."""
        if not _has_av():
            return await asyncio.to_thread(_plain, source, rate, max_secs)
        from asr.decoding import decode_apart  # noqa: PLC0415 -- an extra
        from asr.errors import Unreadable  # noqa: PLC0415

        with await asyncio.to_thread(_file, source) as file:
            try:
                return b"".join([piece async for piece in decode_apart(file, rate, max_secs=max_secs)])
            except Unreadable as exc:
                raise AudioError(str(exc)) from exc

    async def export(
        self, pcm: AsyncIterable[bytes], *, rate: int, channels: int, kind: Format
    ) -> AsyncGenerator[bytes, None]:
        """See `connectors.audio.Audio`."""
        if not _has_av():
            raise AudioError(f"{kind} needs FFmpeg's libraries: {HINT}")
        from asr.encoding import NotEncoded, encode_apart  # noqa: PLC0415 -- an extra

        async with self._exports:
            sound = encode_apart(pcm, rate=rate, channels=channels, kind=kind)
            try:
                async for piece in sound:
                    yield piece
            except NotEncoded as exc:
                raise AudioError(str(exc)) from exc
            finally:
                await sound.aclose()


@cache
def _has_av() -> bool:
    return find_spec("av") is not None


def _file(source: Path | bytes) -> BinaryIO:
    """Open a path; bytes become a file in memory, so that nothing of a sealed blob gets to the disk."""
    return source.open("rb") if isinstance(source, Path) else memory_file([source])


def _plain(source: Path | bytes, rate: int, max_secs: float) -> bytes:
    """Read what needs no library; raises `AudioError` for all else."""
    data = source.read_bytes() if isinstance(source, Path) else source
    try:
        with wave.open(io.BytesIO(data)) as file:
            shape = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            pcm: bytes = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as exc:
        raise AudioError(f"it is no WAV file of 16-bit PCM ({exc}); for others {HINT}") from exc
    if shape != (1, 2, rate):
        raise AudioError(f"only 16-bit mono at {rate} Hz can be read as it is; for others {HINT}")
    if len(pcm) > 2 * rate * max_secs:
        raise AudioError(f"longer than {max_secs:g} s")
    return pcm
