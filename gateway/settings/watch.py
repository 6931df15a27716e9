"""Notice that a configuration changed on disk: its files, files dropped into an included folder, secret files.

Editors replace files, Kubernetes swaps symbolic links, network file systems tell nothing; so a notification (or a few
seconds without one) is only the occasion to compare what the files look like now with what they looked like before.
"""

from __future__ import annotations

import glob
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from watchfiles import Change, awatch

from gateway.settings.sources import Sources, read

QUIET_MS = 200
LOOK_ANYWAY_MS = 5_000

Look = dict[str, tuple[int, int, int] | None]
"""File → (modified, size, inode), or None when it is not there."""


async def watch(
    path: Path, *, look_anyway_ms: int = LOOK_ANYWAY_MS, at_once: bool = False
) -> AsyncGenerator[None, None]:
    """Yield whenever a file of the configuration `path` has changed, appeared or gone, once per burst of writes.

    A file that is broken for the moment is watched like any other.

    Args:
        path: the main file.
        look_anyway_ms: how long to rely on the operating system's notifications before comparing anyway.
        at_once: yield before the first change, too, after a look at what there is: for a caller who read the files
            some time ago.
    """
    sources = read(path)
    before = _look(sources)
    if at_once:
        yield
    while True:
        folders = _folders(sources)
        async with aclosing(_occasions(folders, look_anyway_ms)) as occasions:
            async for _ in occasions:
                sources = read(path)
                after = _look(sources)
                if after != before:
                    before = after
                    yield
                if _folders(sources) != folders:
                    break


def _occasions(folders: set[Path], look_anyway_ms: int) -> AsyncGenerator[set[tuple[Change, str]], None]:
    return awatch(
        *folders,
        watch_filter=None,
        debounce=QUIET_MS * 5,
        step=QUIET_MS,
        rust_timeout=look_anyway_ms,
        yield_on_timeout=True,
        recursive=False,
        ignore_permission_denied=True,
    )


def _look(sources: Sources) -> Look:
    return {str(file): _stat(file) for file in sources.with_secrets()}


def _stat(file: Path) -> tuple[int, int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _folders(sources: Sources) -> set[Path]:
    """Name the folders in which a change may matter; of those that do not exist yet, the nearest one above."""
    wanted = {file.parent for file in sources.with_secrets()} | {_root(pattern) for pattern in sources.patterns}
    return {_existing(Path(os.path.realpath(folder))) for folder in wanted}


def _root(pattern: Path) -> Path:
    """Return the deepest folder above every wildcard of a pattern."""
    while glob.has_magic(str(pattern)):
        pattern = pattern.parent
    return pattern if pattern.is_dir() else pattern.parent


def _existing(folder: Path) -> Path:
    while not folder.is_dir():
        folder = folder.parent
    return folder
