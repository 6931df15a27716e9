"""How much is let in."""

from __future__ import annotations


class Gate:
    """How many deliveries may be in the pipeline of this process at once; beyond it they are refused."""

    __slots__ = ("limit", "open", "taken")

    def __init__(self, limit: int) -> None:
        """Allow `limit` at a time."""
        self.limit, self.taken, self.open = limit, 0, True
