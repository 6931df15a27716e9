"""How a connector says that a part of its channel is in trouble."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Report(Protocol):
    """Says how a part of a channel is, besides whether `Connector.run` runs; becomes `channel.status` on edges."""

    def __call__(
        self, component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None
    ) -> None:
        """Note that a part is in trouble, or is well again.

        Args:
            component: a word for the part, such as ``imap`` or ``oauth``.
            reason: what is wrong and what to do about it, without secrets; None: nothing (any more).
            down: nothing passes; otherwise the channel is degraded.
            expires_at: when it will get worse by itself (a token ends).
        """
        ...


def unheard(component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None) -> None:
    """Ignore a `Report`: outside a gateway nobody listens."""
