"""What is said to callers: sound files as samples at the rate of a call, decoded once.

A prompt is a file of the operator's (the channel's table `prompts`: name → path), or a stored file: a `Media` with
`sha256`, ``sha256:<hex>``, or a link of ours (``…/media/<hex>…``). Nothing is fetched from anywhere else.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path

from connectors.api import Context, Remark
from connectors.audio import AudioError
from connectors.media_types import type_of
from connectors.staging import MediaUnavailable
from connectors.stores import PREFIX
from normalizer.parts import Media

MAX_SECS = 600.0
MAX_BYTES = 67_108_864
"""Of a file; ten minutes of stereo WAV at 48 kHz are 115 MB, at 16 kHz 38 MB."""
CACHE_BYTES = 33_554_432
"""Of samples: 35 minutes at 8 kHz."""
_STORED = re.compile(r"(?:sha256:|https?://[^\s?#]+/media/)([0-9a-f]{64})(?:[/?#]\S*)?")
_Key = tuple[str, int, int, int]


class PromptMissing(MediaUnavailable):
    """There is no such prompt, or it cannot be played; the message says which and why."""


class Prompts:
    """The prompts of one channel."""

    def __init__(self, context: Context, table: Mapping[str, str], *, cache_bytes: int = CACHE_BYTES) -> None:
        """Take the channel's table of names; relative paths start at the current directory of the process."""
        self._context, self._table, self._limit, self._used = context, dict(table), cache_bytes, 0
        self._cache: OrderedDict[_Key, bytes] = OrderedDict()
        self._decoding = asyncio.Lock()

    async def sound(self, what: Media | str, *, rate: int = 8000) -> bytes:
        """Return a prompt: 16-bit little-endian, mono, at `rate`.

        Args:
            what: a name of the table, or a stored file.
            rate: samples per second.

        Raises:
            PromptMissing: see there.
        """
        if isinstance(what, Media):
            if what.sha256 is None:
                raise PromptMissing("only stored media can be played: it has no sha256")
            return await self._stored(what.sha256, rate)
        named = self._table.get(what)
        found = _STORED.fullmatch(named or what)
        if found is not None:
            return await self._stored(found[1], rate)
        if named is None:
            known = ", ".join(sorted(self._table)) or "none"
            raise PromptMissing(f"{_shown(what)} is no prompt of this channel (there are: {known}) and no stored file")
        return await self._file(what, Path(named), rate)

    async def warm(self, *, rate: int = 8000) -> dict[str, str]:
        """Decode the whole table, so that no caller waits; returns what is wrong, by name."""
        wrong = {}
        for name in self._table:
            try:
                await self.sound(name, rate=rate)
            except PromptMissing as exc:
                wrong[name] = str(exc)
        return wrong

    async def _file(self, name: str, path: Path, rate: int) -> bytes:
        try:
            status = await asyncio.to_thread(path.stat)
            if status.st_size > MAX_BYTES:
                raise PromptMissing(f"prompt {name}: {path} is larger than {MAX_BYTES} bytes")
            key = (str(path), status.st_mtime_ns, status.st_size, rate)
            return await self._decoded(key, path, f"prompt {name}: {path}")
        except OSError as exc:
            raise PromptMissing(f"prompt {name}: {path}: {exc.strerror or exc}") from exc

    async def _stored(self, digest: str, rate: int) -> bytes:
        key = (digest, 0, 0, rate)
        cached = self._cached(key)
        if cached is not None:
            return cached
        try:
            data = await self._context.blobs.get(PREFIX + digest)
        except KeyError:
            raise PromptMissing(f"there is no stored file {digest}") from None
        if len(data) > MAX_BYTES:
            raise PromptMissing(f"the stored file {digest} is larger than {MAX_BYTES} bytes")
        return await self._decoded(key, data, f"the stored file {digest}")

    async def _decoded(self, key: _Key, source: Path | bytes, words: str) -> bytes:
        cached = self._cached(key)
        if cached is not None:
            return cached
        async with self._decoding:  # of two calls that ask at the same time, the second finds it in the cache
            cached = self._cached(key)
            if cached is None:
                try:
                    cached = await self._context.audio.decode(source, rate=key[-1], max_secs=MAX_SECS)
                except AudioError as exc:
                    raise PromptMissing(f"{words}: {exc}") from exc
                self._keep(key, cached)
        return cached

    def _cached(self, key: _Key) -> bytes | None:
        found = self._cache.get(key)
        if found is not None:
            self._cache.move_to_end(key)
        return found

    def _keep(self, key: _Key, pcm: bytes) -> None:
        """Keep it as the newest; the oldest go until there is room, and what has no room at all is not kept."""
        for old in [old for old in self._cache if old[0] == key[0] and old[-1] == key[-1]]:  # the file as it was
            self._used -= len(self._cache.pop(old))
        if len(pcm) > self._limit:
            return
        while self._used + len(pcm) > self._limit:
            self._used -= len(self._cache.popitem(last=False)[1])
        self._cache[key] = pcm
        self._used += len(pcm)


def remarks(table: Mapping[str, str], path: str = "prompts") -> Iterable[Remark]:
    """Name the prompts of a configuration that cannot be played: the file is not there, or is no sound.

    Args:
        table: name → file.
        path: of the table, below the channel.
    """
    for name, value in table.items():
        hint = "calls go on without it; a relative path starts where the gateway runs"
        wrong = None if _STORED.fullmatch(value) else _wrong(Path(value))
        if wrong:
            yield Remark(f"{path}.{name}", f"{value}: {wrong}", hint)


def _wrong(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            head, size = file.read(512), os.fstat(file.fileno()).st_size
    except OSError as exc:
        return exc.strerror or str(exc)
    if size > MAX_BYTES:
        return f"larger than {MAX_BYTES} bytes"
    mime = type_of(head, None)
    return None if mime is not None and mime.startswith(("audio/", "video/")) else "not a sound file"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
