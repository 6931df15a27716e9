"""The text of a mail that was forwarded as an attachment, for a mail that says nothing else."""

from __future__ import annotations

from normalizer.mail.headers import Fields
from normalizer.mail.leaf import Leaf, renders
from normalizer.mail.mime import Entity, parse

INPUT_MAX = 1_048_576
"""Bytes of the inner mail that are looked at; it is an attachment as a whole."""

_SHOWN = ("from", "to", "date", "subject")
_VALUE_MAX = 500


def leaves(data: bytes) -> list[Leaf]:
    """Show the header and the text of a mail; empty where it has neither."""
    root = parse(data).root
    found = [Leaf.of_text(head)] if (head := _head(root.fields)) else []
    first = _first_text(root)
    return [*found, first] if first else found


def _head(fields: Fields) -> str:
    values = ((name, fields.text(name)[:_VALUE_MAX]) for name in _SHOWN)
    return "\n".join(f"{name.title()}: {value}" for name, value in values if value)


def _first_text(root: Entity) -> Leaf | None:
    """The first text with words in it, plain or not."""
    waiting = [root]
    while waiting:
        entity = waiting.pop()
        waiting += reversed(entity.children)
        if not entity.children and renders(entity) and (leaf := Leaf(entity)).text.strip():
            return leaf
    return None
