"""Sound files to samples and back, as a connector sees it; the gateway implements it with the package `asr`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path
from typing import Literal, Protocol

from normalizer.errors import OmniError

Format = Literal["mp3", "opus"]
MIMES: dict[str, str] = {"wav": "audio/wav", "mp3": "audio/mpeg", "opus": "audio/ogg"}
"""Format → MIME type (Opus: RFC 7845, in an Ogg container)."""


class AudioError(OmniError):
    """A file that is no sound, or one that cannot be made."""

    code = "audio_failed"


class Audio(Protocol):
    """What a connector gets from the gateway (`Context.audio`)."""

    async def decode(self, source: Path | bytes, *, rate: int, max_secs: float) -> bytes:
        """Return what a file says: 16-bit little-endian, mono, at `rate`.

        Raises:
            AudioError: it is no sound, is longer than `max_secs`, or needs a library that is not installed.
            OSError: it cannot be read.
        """
        ...

    def export(
        self, pcm: AsyncIterable[bytes], *, rate: int, channels: int, kind: Format
    ) -> AsyncGenerator[bytes, None]:
        """Encode sound (16-bit little-endian, interleaved) and yield the file in pieces; takes its time.

        Raises:
            AudioError: it cannot be encoded.
            Exception: what `pcm` raises.
        """
        ...


class NoAudio:
    """An `Audio` that knows no format: outside a gateway."""

    async def decode(self, source: Path | bytes, *, rate: int, max_secs: float) -> bytes:
        """Refuse; see `Audio`."""
        raise AudioError("there is nothing here that reads sound files")

    def export(
        self, pcm: AsyncIterable[bytes], *, rate: int, channels: int, kind: Format
    ) -> AsyncGenerator[bytes, None]:
        """Refuse; see `Audio`."""
        raise AudioError("there is nothing here that writes sound files")
