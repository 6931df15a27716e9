"""What can be said about sound without any library: the gateway's own process needs no more."""

from __future__ import annotations

from msgspec import Struct

BYTES = 2
"""Of a sample."""
MAX_SECS = 14_400.0


class Task(Struct, frozen=True):
    """What a decoder is to do, as JSON on its command line; see `asr.audio.decode`."""

    rate: int
    max_secs: float
    channel: int | None = None


class Failure(Struct, frozen=True):
    """What is wrong with the file; `asr.errors.Unreadable`."""

    code: str
    message: str
