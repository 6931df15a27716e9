"""What callers are played: WAV files of the channel and stored files, decoded once."""

from __future__ import annotations

import asyncio
import math
import struct
from collections import OrderedDict
from pathlib import Path

from connectors.api import Context
from connectors.audio import AudioError
from connectors.sip import wire
from connectors.staging import MediaUnavailable
from connectors.stores import PREFIX
from normalizer.parts import Media

MOST_SECS = 600.0
KEPT = 64
"""Prompts that are kept decoded; ten minutes are 10 MB."""
_BEEP_HZ, _BEEP_SECS, _BEEP_LEVEL = 1000.0, 0.4, 8000


class PromptMissing(MediaUnavailable):
    """There is no such prompt, or it is no sound."""


class Prompts:
    """Finds the sound of a prompt's name, or of a stored file."""

    def __init__(self, context: Context, named: dict[str, str]) -> None:
        """Take the channel's table `prompts`."""
        self._context, self._named = context, named
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = asyncio.Lock()

    async def sound(self, wanted: Media | str) -> bytes:
        """Return the samples of a prompt by name, or of a file by ``sha256:…`` or `Media.sha256`.

        Raises:
            PromptMissing: there is none, or it is no sound.
        """
        if isinstance(wanted, Media):
            if not wanted.sha256:
                raise PromptMissing("`play` needs the `sha256` of a stored file, or the name of a prompt")
            source = PREFIX + wanted.sha256
        else:
            source = wanted if wanted.startswith(PREFIX) else self._named.get(wanted, "")
        if not source:
            raise PromptMissing(f"the channel has no prompt {wanted!r:.80}")
        async with self._lock:
            if source not in self._kept:
                self._kept[source] = await self._decoded(source)
            self._kept.move_to_end(source)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[source]

    async def _decoded(self, source: str) -> bytes:
        try:
            data = await self._context.blobs.get(source) if source.startswith(PREFIX) else Path(source)
            return await self._context.audio.decode(data, rate=wire.RATE, max_secs=MOST_SECS)
        except KeyError:
            raise PromptMissing("this file is not stored here") from None
        except (OSError, AudioError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise PromptMissing(f"{source if not source.startswith(PREFIX) else 'the file'}: {reason}") from exc


def beep() -> bytes:
    """Make the tone after which a caller speaks."""
    count = int(wire.RATE * _BEEP_SECS)
    wave = (int(_BEEP_LEVEL * math.sin(2 * math.pi * _BEEP_HZ * n / wire.RATE)) for n in range(count))
    return struct.pack(f"<{count}h", *wave)
