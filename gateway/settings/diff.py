"""What a reload has to do."""

from __future__ import annotations

from msgspec import Struct

from gateway.settings.load import SECTIONS
from gateway.settings.model import Settings


class Changes(Struct, frozen=True, kw_only=True):
    """The difference between two configurations; a channel in none of the lists is left alone.

    Attributes:
        added: ids of channels to start.
        removed: ids of channels to stop.
        changed: ids of channels whose options (or kind, or a secret) differ: stop, then start.
        restart_needed: names of sections that only a restart of the gateway applies.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    restart_needed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything differs."""
        return bool(self.added or self.removed or self.changed or self.restart_needed)


def changes(old: Settings, new: Settings) -> Changes:
    """Compare two configurations by value, secrets included."""
    before, after = old.channels, new.channels
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in after if name in before and before[name] != after[name]),
        restart_needed=tuple(name for name in SECTIONS if getattr(old, name) != getattr(new, name)),
    )
