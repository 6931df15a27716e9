"""Secrets: written as references in the configuration, never printed."""

from __future__ import annotations

import os
from pathlib import Path

from typing_extensions import override


class Secret:
    """A value that shows up as ``<secret>`` wherever it is formatted, logged or serialized."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap the value."""
        self._value = value

    def reveal(self) -> str:
        """Return the value; call as late as possible."""
        return self._value

    @override
    def __repr__(self) -> str:
        return "<secret>"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    @override
    def __hash__(self) -> int:
        return hash(self._value)


def resolve(reference: str) -> Secret:
    """Turn ``env:NAME`` or ``file:/path`` into a `Secret`; raises `ValueError` that says what to do."""
    scheme, _, rest = reference.partition(":")
    if scheme == "env" and rest:
        value = os.environ.get(rest)
        if not value:
            raise ValueError(f"environment variable {rest} is not set")
        return Secret(value)
    if scheme == "file" and rest:
        try:
            return Secret(Path(rest).read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as exc:
            raise ValueError(
                f"cannot read the secret file {rest}: {getattr(exc, 'strerror', None) or 'not UTF-8'}"
            ) from exc
    raise ValueError("a secret is written as env:NAME or file:/path, never in clear")
