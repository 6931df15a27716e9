"""What the process asks of the interpreter and of the system, once, before it serves."""

from __future__ import annotations

import gc

import structlog

from connectors.descriptors import DESCRIPTORS

log = structlog.get_logger(__name__)

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


def allow_files(connections: int) -> None:
    """Raise the limit of open files: 1024, the usual one, is less than the connections we are to take."""
    wanted = connections + FILES_BESIDE_CONNECTIONS
    if DESCRIPTORS.reserve("http", wanted) < wanted:
        hint = f"raise the limit of open files to {wanted} (ulimit -n, LimitNOFILE=), or lower http.max_connections"
        log.warning("file_limit_too_low", limit=DESCRIPTORS.limit, hint=hint)
