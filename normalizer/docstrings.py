"""Docstrings as data: schemas and references repeat what the types say about themselves."""

from __future__ import annotations

import inspect
import re

from msgspec import Struct

_SECTION = re.compile(r"^(Attributes|Args|Returns|Raises|Yields|Examples?):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(?P<names>\w+(?:, \w+)*): (?P<text>.*(?:\n(?: {8}.*|))*)", re.MULTILINE)


def summary(shape: type) -> str:
    """Return the docstring of a type without its sections, as one paragraph per paragraph."""
    text = _SECTION.split(_doc(shape), maxsplit=1)[0]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def attributes(shape: type[Struct]) -> dict[str, str]:
    """Return what the ``Attributes:`` sections of a type and its bases say, by field name."""
    found: dict[str, str] = {}
    for base in reversed(shape.__mro__):
        parts = _SECTION.split(_doc(base))
        for title, body in zip(parts[1::2], parts[2::2], strict=True):
            if title == "Attributes":
                for entry in _ENTRY.finditer(body):
                    words = " ".join(entry["text"].split())
                    found.update(dict.fromkeys(entry["names"].split(", "), words))
    return found


def _doc(shape: type) -> str:
    return inspect.cleandoc(shape.__dict__.get("__doc__") or "")
