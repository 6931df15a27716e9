"""Text that a store can take, whatever a provider sent."""

from __future__ import annotations

from collections.abc import Sequence

from dedup.api import Take


def storable(takes: Sequence[Take]) -> list[Take]:
    r"""Rewrite lone surrogates, which UTF-8 cannot carry, as ``\udXXX``.

    Called only after a store refused a batch for one of them: one odd address must not cost the others their check.
    """
    return [Take(_text(t.key), _text(t.conversation), _text(t.address), t.now_us, t.keep) for t in takes]


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
