"""Which processes that use the broker's file are alive, as the system knows it.

Every one holds a lock (flock(2)) on a file of its own beside the broker's. The system lets go of it when the process
ends, however it ends, so the others need not wait for its lease: after a crash the next process sends at once what the
dead one had taken. The lease is for what this cannot tell: a process that hangs, a file system without locks.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SUFFIX = ".alive"


class Lives:
    """The files of one broker: ``<folder>/<name>.alive``."""

    def __init__(self, folder: Path, name: str) -> None:
        """Be `name`, which no other process has, in a folder that all share."""
        self._folder, self._name = folder, name

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be alive; where the file cannot be made or locked the lease alone counts."""
        path, handle = self._folder / (self._name + _SUFFIX), None
        with suppress(OSError):
            handle = self._hold(path)
        try:
            yield
        finally:
            if handle is not None:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                os.close(handle)

    @contextmanager
    def fallen(self) -> Iterator[list[str]]:
        """Yield the names of the dead; they are forgotten at the end, unless that raises."""
        handles: dict[Path, int] = {}
        try:
            for path in self._folder.glob("*" + _SUFFIX):
                handle = _take(path)
                if handle is not None:
                    handles[path] = handle
            yield [path.name.removesuffix(_SUFFIX) for path in handles]
            for path in handles:
                path.unlink(missing_ok=True)
        finally:
            for handle in handles.values():
                os.close(handle)

    def _hold(self, path: Path) -> int:
        """Make and lock the file under another name first: one that is not locked belongs to the dead."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        made = path.with_suffix(".new")
        handle = os.open(made, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            made.rename(path)
        except OSError:
            os.close(handle)
            made.unlink(missing_ok=True)
            raise
        return handle


def _take(path: Path) -> int | None:
    """Lock a file that nobody holds."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
