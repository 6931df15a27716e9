"""Secrets for trying out: what `omnigate init` makes up so that a fresh clone runs with nothing set."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from gateway.settings.references import DEMO_PREFIX
from gateway.settings.sources import read

BYTES = 24


def ensure_demo_secrets(config: Path) -> Iterator[Path]:
    """Create every missing ``file:`` secret of a configuration whose name begins with ``demo-``; yield what was made.

    Each gets its own random content, readable by its owner only. Real secrets are never made up: a missing one stays
    a problem of the configuration. Raises `OSError`.
    """
    for file in read(config).with_secrets():
        if file.name.startswith(DEMO_PREFIX) and not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as target:
                target.write(secrets.token_hex(BYTES) + "\n")
            yield file.resolve()
