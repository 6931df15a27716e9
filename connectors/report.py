"""How a connector says what no delivery brought: trouble of a part of its channel, events of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from normalizer.raw import Event


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


async def untold(_: Event) -> bool:
    """Tell nobody (`Context.publish`): outside a gateway."""
    return True


def unhinted(_: Event) -> None:
    """Tell nobody (`Context.hint`): outside a gateway."""
