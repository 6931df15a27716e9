"""Storing what is too large for memory."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Protocol, runtime_checkable


@runtime_checkable
class PieceStore(Protocol):
    """An ability of `connectors.api.Blobs`."""

    async def put_pieces(self, pieces: AsyncIterable[bytes | bytearray]) -> str:
        """Store bytes that come in pieces, in the memory of one piece; otherwise like `Blobs.put`.

        Raises:
            Busy: the disk is full or cannot be written; nothing was kept.
            Exception: what `pieces` raises; nothing was kept.
        """
        ...
