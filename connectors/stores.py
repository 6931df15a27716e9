"""Where connectors keep things: blobs, what a channel remembers, links to what is kept. The gateway implements them."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

PREFIX = "sha256:"
"""What a reference to a blob begins with; the rest is `Media.sha256`."""


class Blobs(Protocol):
    """Durable storage of bytes, addressed by content; see `gateway.blobs`."""

    async def put(self, data: bytes) -> str:
        """Store `data` and return its reference (``sha256:<hex>``) after fsync; raises `Busy` when the disk is full."""
        ...

    async def get(self, ref: str) -> bytes:
        """Read it back; raises `KeyError`."""
        ...

    async def exists(self, ref: str) -> bool:
        """Tell whether `get` would find it."""
        ...


class State(Protocol):
    """What a channel remembers, shared by all workers and nodes that share a dedup store.

    Kept by the dedup store: as durable as that is (`dedup/README.md`). Every method raises `StateUnavailable`.
    Keys belong to the channel; another channel has its own.
    """

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None."""
        ...

    async def put(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """Store a value for `ttl` seconds; None is for ever."""
        ...

    async def swap(self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None) -> bool:
        """Replace the value if it is `expected` (None: absent) in one atomic step; tell whether it was."""
        ...


class LinkMaker(Protocol):
    """Makes a signed, expiring link to a stored blob, below `[http] public_url`."""

    def __call__(self, ref: str, *, mime: str | None, name: str | None) -> tuple[str, datetime]:
        """Return the URL and when it ends."""
        ...


class Retention(Protocol):
    """Gives a blob an end of its own, whatever `[gateway] blob_days` says."""

    async def __call__(self, ref: str, until: datetime, channel: str) -> None:
        """Keep a stored blob until then and no longer, unless something else stored the same bytes; durable.

        Of several ends the latest counts. `channel` is told in the log when it is deleted. Raises `Busy`.
        """
        ...


async def untimed(ref: str, until: datetime, channel: str) -> None:
    """Let the blob be: outside a gateway."""
