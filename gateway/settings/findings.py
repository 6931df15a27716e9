"""What is wrong or odd about settings whose single values are right."""

from __future__ import annotations

from msgspec import Struct


class Finding(Struct, frozen=True, kw_only=True):
    """A problem or, when not `fatal`, a warning.

    Attributes:
        path: the key to mend.
        also: further sections it was derived from.
    """

    path: str
    message: str
    hint: str = ""
    fatal: bool = True
    also: tuple[str, ...] = ()

    @property
    def concerns(self) -> set[str]:
        """Sections whose own problems make this finding meaningless."""
        return {self.path.partition(".")[0], *self.also}
