"""What the process asks of the interpreter and of the system, once, before it serves."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import structlog

from connectors.descriptors import DESCRIPTORS

log = structlog.get_logger(__name__)

PAGE = 2_097_152
"""Bytes of a large page, as x86-64 and most of arm64 have it; where they are of another size, nothing is changed."""
_MADV_COLLAPSE = 25
_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPS = Path("/proc/self/maps")

FILES_BESIDE_CONNECTIONS = 512
"""File descriptors for everything that is no client of the public port: stores, blobs, other listeners."""


def calm_gc() -> None:
    """Let the cyclic garbage collector run seldom, and over little.

    What is there when the process begins to serve stays until its end, and a message leaves no cycles behind: it goes
    with its last reference. With Python's defaults (700, 10, 10) full collections come often and walk over all
    modules, 20 ms in which nothing else happens: that nearly doubled the 99th percentile under full load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)


def large_pages() -> int:
    """Have what lives for long (code, types, tables) in large pages, once; returns how many there are then.

    A delivery touches a few hundred pages all over the heap, and between two of them other processes empty the tables
    in which the processor looks pages up. In large pages it is a dozen: a tenth less CPU per delivery. Costs some
    30 ms and 2 to 3 MB. Linux 6.1 and later (MADV_COLLAPSE, https://man7.org/linux/man-pages/man2/madvise.2.html)
    unless the administrator forbids large pages; elsewhere nothing happens.
    """
    with suppress(OSError, AttributeError):
        if "[never]" in _THP.read_text():
            return 0
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        maps = _MAPS.read_text(errors="replace")
        return sum(madvise(page * PAGE, PAGE, _MADV_COLLAPSE) == 0 for page in _whole_pages(maps))
    return 0


def _whole_pages(maps: str) -> Iterator[int]:
    """Number the large pages that fit into the heap, by the process's map; the system leaves out what is not in use."""
    for line in maps.splitlines():
        place, rights, _, _, _, *name = line.split(maxsplit=5)
        if rights == "rw-p" and name in ([], ["[heap]"]):
            begin, _, end = place.partition("-")
            yield from range(-(-int(begin, 16) // PAGE), int(end, 16) // PAGE)


def allow_files(connections: int) -> None:
    """Raise the limit of open files: 1024, the usual one, is less than the connections we are to take."""
    wanted = connections + FILES_BESIDE_CONNECTIONS
    if DESCRIPTORS.reserve("http", wanted) < wanted:
        hint = f"raise the limit of open files to {wanted} (ulimit -n, LimitNOFILE=), or lower http.max_connections"
        log.warning("file_limit_too_low", limit=DESCRIPTORS.limit, hint=hint)
