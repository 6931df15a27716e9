"""A value that must not be lost: kept in the shared state and in a local file.

Redis may lose its data, and a node its disk; of both copies the reader takes the one that is further.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from connectors.api import Context
from connectors.errors import StateUnavailable

_TEMPORARY = ".new"


class Memory:
    """One value of one channel."""

    def __init__(self, context: Context, folder: str, *identity: str) -> None:
        """Name it by what it is about; the file is in `folder` of the data directory, readable by its owner only."""
        digest = sha256("\0".join(identity).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", context.channel.id)[:64]
        self._state, self._log = context.state, context.log
        self._key = f"{folder}:{digest}"
        self._path = context.data_dir / folder / f"{plain}-{digest}.json"

    async def load(self) -> list[bytes]:
        """Return the copies there are; raises `StateUnavailable`, because the other nodes' copy may be the further."""
        shared = await self._state.get(self._key)
        local = await asyncio.to_thread(_read, self._path)
        return [one for one in (shared, local) if one is not None]

    async def save(self, value: bytes) -> None:
        """Keep `value`; durable in at least one place when it returns.

        Raises:
            OSError: neither copy could be written.
        """
        failure = await asyncio.to_thread(_write, self._path, value)
        try:
            await self._state.put(self._key, value)
        except StateUnavailable:
            if failure is not None:
                raise failure from None
        if failure is not None:
            self._log.warning("local_copy_not_written", path=str(self._path), reason=failure.strerror)


def _read(path: Path) -> bytes | None:
    with suppress(OSError):
        return path.read_bytes()
    return None


def _write(path: Path, value: bytes) -> OSError | None:
    """Replace the file in one step; returns what went wrong."""
    new = path.with_suffix(_TEMPORARY)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as exc:
        return exc
    return None
