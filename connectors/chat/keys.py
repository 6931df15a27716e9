"""The key that signs the tokens of sessions.

A key in the configuration is shared by all nodes. Without one every data directory has its own, in
``chat/session.keys``: hexadecimal, one per line, the newest first. To replace it put a new line on top; to end all
sessions of an old one delete its line.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from connectors.chat.site_keys import KEY_BYTES
from connectors.errors import Misconfigured
from connectors.secrets import Secret

FILE = Path("chat") / "session.keys"


def load_keys(configured: Sequence[Secret], data_dir: Path) -> tuple[bytes, ...]:
    """Return the configured keys, or those of the data directory, which are made when there are none.

    Raises:
        Misconfigured: the file cannot be read or made, or holds no key.
    """
    if configured:
        return tuple(key.reveal().encode() for key in configured)
    try:
        keys = _stored(data_dir / FILE)
    except (OSError, ValueError) as exc:  # not the error's own words: they may quote a line of the file
        raise _unusable(data_dir, type(exc).__name__) from None
    if not keys or min(map(len, keys)) < KEY_BYTES:
        raise _unusable(data_dir, "too short")
    return keys


def _unusable(data_dir: Path, why: str) -> Misconfigured:
    return Misconfigured(
        f"cannot use the keys in {data_dir / FILE} ({why}): it must be readable, with keys of at least {KEY_BYTES}"
        " bytes in hexadecimal, one per line; or set `token_key`"
    )


def _stored(path: Path) -> tuple[bytes, ...]:
    if not path.exists():
        _make(path)
    return tuple(bytes.fromhex(line) for line in path.read_text(encoding="ascii").split())


def _make(path: Path) -> None:
    """Write a new key, complete or not at all; of several workers that start together one wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)  # readable for the owner alone
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()
