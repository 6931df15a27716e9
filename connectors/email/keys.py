"""The key that signs what answers bring back; see `normalizer.mail.tokens`.

A key in the configuration is shared by all nodes. Without one every data directory has its own, in
``email/signing.keys``: hexadecimal, one per line, the newest first. To replace it put a new line on top; to distrust
an old one delete its line. Answers to mails signed by a key that is gone are threaded as mails of any sender are.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path

from connectors.errors import Misconfigured
from connectors.secrets import Secret
from normalizer.mail.tokens import KEY_BYTES, Tokens

FILE = Path("email") / "signing.keys"
NEW_BYTES = 32


def load_tokens(configured: Iterable[Secret], data_dir: Path) -> Tokens:
    """Use the configured keys, the newest first, or those of the data directory, which are made when there are none.

    Raises:
        Misconfigured: the file cannot be read or made, or holds no key.
    """
    keys = tuple(one.reveal().encode() for one in configured)
    try:
        return Tokens(keys or _stored(data_dir / FILE))
    except (OSError, ValueError) as exc:
        # not the error's own words: they may quote a line of the file
        raise Misconfigured(
            f"cannot use the signing keys in {data_dir / FILE} ({type(exc).__name__}): it must be readable, with keys"
            f" of at least {KEY_BYTES} bytes in hexadecimal, one per line; or set `signing_key`"
        ) from None


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
            file.write(secrets.token_hex(NEW_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
