"""One listening socket for several workers, each of whom takes its share of the connections.

Providers and proxies keep connections open and use them for hours, so how they were dealt out decides how busy each
worker is from then on. SO_REUSEPORT deals them by a hash: of 64, one worker of two has 36 or more in two runs of five,
and whoever is on it waits that much longer. Here the parent binds, every worker waits at the same socket, and takes at
once what it should have of those who wait there, so that all have as many: the shares differ by `SLACK` or so. The
parent holds the socket, so nobody who waits at it is reset when a worker dies, as whoever is in its own queue is with
SO_REUSEPORT.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog
from msgspec import Struct

log = structlog.get_logger(__name__)

ABSENT = -1
SLACK = 2
"""How many connections more than another a worker takes without asking."""
MOST = 256
"""Connections taken in one go, before those that are open get their turn."""
STEP_BACK_SECS = 0.002
"""How long the others are given to take a connection, before it is looked whether somebody still waits."""
PATIENCE_SECS = 0.03
"""How long connections wait for a worker that is busy. For one that is stuck the others then take one each time."""
FAILED_SECS = 0.5
"""Until it is tried again after accept(2) failed, mostly for want of file descriptors."""

_UNACKED = struct.Struct("24xI")
"""`struct tcp_info` as far as `tcpi_unacked` (include/uapi/linux/tcp.h)."""


class Shares:
    """How many connections each worker has, in memory that all of them see; `ABSENT` where there is no worker."""

    def __init__(self, fd: int, workers: int) -> None:
        """Map what `shares_file` made."""
        self._numbers = memoryview(mmap.mmap(fd, workers * 4)).cast("i")

    def __getitem__(self, worker: int) -> int:
        """Return the number of one worker."""
        return self._numbers[worker]

    def __setitem__(self, worker: int, number: int) -> None:
        """Write it; only the worker itself and, after its end, the parent do."""
        self._numbers[worker] = number

    def fair(self, worker: int, waiting: int) -> int:
        """Return how many connections a worker may have when so many wait, itself being there."""
        others = [number for i, number in enumerate(self._numbers) if number != ABSENT and i != worker]
        even = -(-(self._numbers[worker] + sum(others) + waiting) // (1 + len(others)))
        return max(even, min(others) + SLACK) if others else even


def shares_file(workers: int) -> int:
    """Make the memory of `Shares`, nobody being there yet; returns a file descriptor that children may inherit."""
    with tempfile.TemporaryFile(prefix="omnigate-shares-") as file:
        file.write(ABSENT.to_bytes(4, "little", signed=True) * workers)
        file.flush()
        return os.dup(file.fileno())


class Shared(Struct, frozen=True):
    """What a worker shares with the others: `sock` listens and does not block, `index` is the worker's own number."""

    sock: socket.socket
    shares: Shares
    index: int


class Door:
    """Where one worker takes connections; see the module."""

    def __init__(self, shared: Shared, accept: Callable[[], asyncio.Protocol], taken: Callable[[], int]) -> None:
        """Open it: `accept` makes the protocol of a connection, `taken` tells how many have begun and not ended."""
        self._sock, self._shares, self._index = shared.sock, shared.shares, shared.index
        self._accept, self._taken = accept, taken
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0  # loop time up to which others may have what waits now
        self._coming: dict[asyncio.BaseProtocol, asyncio.Task[object]] = {}
        self._open = True
        self.tell()
        self._loop.add_reader(self._sock, self._knock)

    def close(self) -> None:
        """Leave the rest to the others; connections that were taken live on."""
        if not self._open:
            return
        self._open = False
        self._shares[self._index] = ABSENT
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    @property
    def share(self) -> int:
        """How many connections this worker has, those included that are about to begin."""
        return self._taken() + len(self._coming)

    def tell(self, connection: asyncio.BaseProtocol | None = None) -> None:
        """Let the others know; to be called whenever a connection has begun or ended, with its protocol.

        One that has begun is among the `taken` from then on: counted twice, a burst would be shared unevenly.
        """
        if connection is not None:
            self._coming.pop(connection, None)
        if self._open:
            self._shares[self._index] = self.share

    def _knock(self) -> None:
        """Take this worker's share of those who wait, at least one of whom does."""
        room = self._room(max(1, _waiting(self._sock)))
        if room > 0:
            self._welcome(room)
        else:
            self._until = self._loop.time() + PATIENCE_SECS
            self._step_back(STEP_BACK_SECS)

    def _room(self, waiting: int) -> int:
        return self._shares.fair(self._index, waiting) - self.share

    def _welcome(self, number: int) -> None:
        for _ in range(min(number, MOST)):
            if not self._take():
                break

    def _step_back(self, secs: float) -> None:
        self._loop.remove_reader(self._sock)
        self._timer = self._loop.call_later(secs, self._return)

    def _return(self) -> None:
        """Look whether somebody still waits: for this worker's share, or for too long."""
        self._timer = None
        waiting = _waiting(self._sock)
        if waiting and (room := self._room(waiting)) <= 0:
            if self._loop.time() < self._until or self._take():
                self._step_back(STEP_BACK_SECS)
        elif waiting:
            self._welcome(room)
        if self._timer is None:
            self._loop.add_reader(self._sock, self._knock)

    def _take(self) -> bool:
        """Take the next connection; returns whether there was one."""
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # somebody else was faster
        except OSError as exc:  # whatever it is, it must not be the last time that this worker looks
            log.error("cannot_accept", reason=exc.strerror)  # noqa: TRY400 -- it says all
            self._step_back(FAILED_SECS)
            return False
        connection.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
        with suppress(OSError):  # it has left already
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol = self._accept()
        task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: protocol, connection))
        self._coming[protocol] = task
        self.tell()
        task.add_done_callback(partial(self._begun, protocol))
        return True

    def _begun(self, protocol: asyncio.BaseProtocol, task: asyncio.Task[object]) -> None:
        self.tell(protocol)  # also for one that did not come about, or is not counted as taken
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("connection_failed", error=type(exc).__name__, exc_info=exc)


def _waiting(sock: socket.socket) -> int:
    """Return how many connections wait at a listening socket; 1, perhaps wrongly, where the system does not tell.

    Linux has it in `tcpi_unacked` (https://man7.org/linux/man-pages/man8/ss.8.html shows it as Recv-Q).
    """
    if not hasattr(socket, "TCP_INFO"):
        return 1
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED.size)
    except OSError:
        return 1
    return int(_UNACKED.unpack(info)[0]) if len(info) == _UNACKED.size else 1
