"""Clocks that run fast, for what takes minutes by some RFC (libfaketime; Debian's faketime)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.process import missing

_LIBRARY = "faketime/libfaketime.so.1"


@contextmanager
def faster(times: int) -> Iterator[Callable[[], None]]:
    """Let the clocks of processes that are started now run so many times as fast as this one's; call what is yielded
    before the next ones are started.
    """
    found = next(iter(Path("/usr/lib").glob(f"*/{_LIBRARY}")), None)
    if found is None:
        missing("libfaketime is not installed (apt-get install faketime, or `make test`, which does it)")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"LD_PRELOAD": str(found), "FAKETIME": f"+0 x{times}"}.items():
            patch.setenv(name, value)
        yield patch.undo
