"""Sound that simulated callers make, and files of what they heard."""

from __future__ import annotations

import wave
from array import array
from pathlib import Path

from connectors.sip.wire import RATE
from normalizer.errors import OmniError

HELLO = Path(__file__).with_name("hello.wav")
"""What a caller says who is told nothing: "hello i want to cancel my order please", spoken by espeak-ng."""
_BYTES = 2


class NoSound(OmniError):
    """A file that cannot be said."""

    code = "no_sound"


def load(path: Path) -> bytes:
    """Read a file as 16-bit mono at 8000 Hz: any format with PyAV, else only such a WAV; raises `NoSound`."""
    if not path.is_file():
        raise NoSound(f"{path}: there is no such file")
    try:
        from asr.audio import decode  # noqa: PLC0415 -- PyAV may not be there
    except ImportError:
        return _plain(path)
    try:
        return b"".join(decode(path, RATE))
    except OmniError as exc:
        raise NoSound(f"{path}: {exc}") from exc


def _plain(path: Path) -> bytes:
    try:
        with wave.open(str(path), "rb") as file:
            shape = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            sound = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as exc:
        raise NoSound(f"{path}: {exc}; other formats than WAV need PyAV (pip install 'omnigate[asr]')") from exc
    if shape != (1, _BYTES, RATE):
        raise NoSound(f"{path}: without PyAV (pip install 'omnigate[asr]') it must be 16-bit mono at {RATE} Hz")
    return sound


def save(path: Path, left: bytes, right: bytes) -> None:
    """Write two voices of one length as a WAV of two channels."""
    both = array("h", bytes(2 * len(left)))
    both[0::2], both[1::2] = array("h", left), array("h", right)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(_BYTES)
        file.setframerate(RATE)
        file.writeframes(both.tobytes())
