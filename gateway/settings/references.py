"""``env:`` and ``file:`` references: secrets, and the URLs that may hold a password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from connectors.secrets import Secret, resolve
from gateway.settings.problems import shown

FILE = "file:"
SCHEMES = ("env:", FILE)
DEMO_PREFIX = "demo-"


def is_reference(value: Any) -> bool:
    """Tell whether a value names a secret instead of being one."""
    return isinstance(value, str) and value.startswith(SCHEMES)


def target(reference: str, file: Path) -> Path:
    """Return the file that ``file:…`` names; relative ones start at the folder of the file that says so."""
    return file.parent / reference.removeprefix(FILE)


def lookup(reference: str, file: Path) -> Secret:
    """Resolve a reference written in `file`; raises `ValueError` that says what to do."""
    if not reference.startswith(FILE) or reference == FILE:
        return resolve(reference)
    path = target(reference, file)
    if path.name.startswith(DEMO_PREFIX) and not path.exists():
        raise ValueError(f"the demo secret {shown(path)} does not exist yet; `omnigate init` makes one up")
    secret = resolve(FILE + str(path))
    if not secret.reveal():
        raise ValueError(f"the secret file {shown(path)} is empty")
    return secret


def files(value: Any, file: Path) -> Iterator[Path]:
    """List every file that a table of `file` refers to."""
    if isinstance(value, dict):
        for item in value.values():
            yield from files(item, file)
    elif isinstance(value, list):
        for item in value:
            yield from files(item, file)
    elif isinstance(value, str) and value.startswith(FILE) and value != FILE and "\0" not in value:
        yield target(value, file)
