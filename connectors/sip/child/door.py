"""How many connections (TCP, TLS) come in: no more than PJSIP has places for.

Its queue of sockets has 64 places (`PJ_IOQUEUE_MAX_HANDLES`), each of which stays taken for half a second after the end
of its socket (`PJ_IOQUEUE_KEY_FREE_DELAY`), and PJSIP aborts the process when it needs one more. It takes every
connection that waits and asks nobody, so they are kept from it by the kernel: a listening socket with a filter that
passes nothing (`SO_ATTACH_FILTER`, socket(7)) completes no handshake, and whoever knocks tries again by TCP's own
rules, after a second.

The door is shut while PJSIP takes those who wait (its backlog, six), as more could come in meanwhile without end; and
while the places are taken. Then those who say nothing are thrown out, strangers first.

Linux only; elsewhere the door stands open (`Door.works`).
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import stat
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PLACES = 40
"""For connections, also those that ended just now. The other 24 are for what is listened on, for connections of ours
(to a registrar), and for the two backlogs that come in before the door is shut."""
CROWDED = 30
"""From so many connections on some are thrown out."""
WATCHFUL = 8
"""From so many on the door is shut whenever PJSIP works, as somebody may knock just then; before, when somebody has."""
COOL_SECS = 0.8
SILENT_SECS = 10.0
"""A connection that said nothing for so long may be thrown out, unless a call came by it that goes on."""
_LOOK_SECS = 0.1
_FDS = Path("/proc/self/fd")
_PASS_NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF_RET | BPF_K: 0 bytes
_PROGRAM = struct.pack("@HP", 1, ctypes.addressof(_PASS_NOTHING))
_ATTACH_FILTER, _DETACH_FILTER = 26, 27  # asm-generic/socket.h
_LAST_DATA_RECEIVED = 52  # tcpi_last_data_recv in `struct tcp_info` (linux/tcp.h), milliseconds


class Connection(NamedTuple):
    """A connection that somebody made to us; `inode` tells its socket from a later one with the same number."""

    fd: int
    inode: int
    peer: str
    host: str


class Door:
    """See the module; on the thread that handles PJSIP's events."""

    def __init__(
        self,
        ports: Iterable[int],
        *,
        also: int,
        known: Callable[[str], bool] = lambda _: True,
        busy: Callable[[], Iterable[str]] = tuple,
        thrown: Callable[[], None] = lambda: None,
    ) -> None:
        """Find the sockets that listen.

        Args:
            ports: that are listened on, UDP included.
            also: a further socket whose news end a wait.
            known: whether an address may call.
            busy: from where (``address:port``) the calls came that go on.
            thrown: told when somebody is thrown out.
        """
        self._ports, self._known, self._busy, self._thrown = frozenset(ports), known, busy, thrown
        self._seen: dict[int, int] = {}
        self._inside: dict[int, Connection] = {}
        self._left: deque[float] = deque()
        self._listeners: dict[int, socket.socket] = {}
        self._listening: set[int] = set()  # their inodes; each is found twice, as we have a number of our own for it
        self._next, self._shut = 0.0, False
        self.works = False
        self._news = select.epoll() if hasattr(select, "epoll") and _FDS.is_dir() else None
        if self._news is not None:
            self._news.register(also, select.EPOLLIN)
            self._look(time.monotonic())
            self.works = bool(self._listeners) and self._can_shut()

    def turn(self, handle: Callable[[int], object], wait_ms: int) -> None:
        """Wait for news, at most so long, and let PJSIP handle them; `handle` is given how long it may wait itself."""
        if self._news is None or not self.works:
            handle(wait_ms)
            return
        news = {fd for fd, _ in self._news.poll(wait_ms / 1000)}
        knocking = not news.isdisjoint(self._listeners)
        if knocking or self._taken > WATCHFUL:
            self._turn_key(shut=True)
        handle(0)
        now = time.monotonic()
        if knocking or now >= self._next or not news.isdisjoint(self._inside):
            self._look(now)
            self._make_room()
        self._turn_key(shut=self._taken >= PLACES)

    @property
    def _taken(self) -> int:
        return len(self._inside) + len(self._left)

    def close(self) -> None:
        """Let go of the sockets, which stay as they are."""
        if self._news is not None:
            self._news.close()
        for listener in self._listeners.values():
            listener.close()
        self.works = False

    def _can_shut(self) -> bool:
        try:
            self._turn_key(shut=True)
            self._turn_key(shut=False)
        except OSError:
            return False
        return True

    def _turn_key(self, *, shut: bool) -> None:
        if shut == self._shut:
            return
        for listener in self._listeners.values():
            if shut:
                listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, _PROGRAM)
            else:
                listener.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)
        self._shut = shut

    def _look(self, now: float) -> None:
        """See who came and who left."""
        self._next = now + _LOOK_SECS
        found: dict[int, int] = {}
        for fd in map(int, os.listdir(_FDS)):  # noqa: PTH208 -- in every turn: a Path for each costs
            with suppress(OSError):  # the folder itself
                status = os.fstat(fd)
                if stat.S_ISSOCK(status.st_mode):
                    found[fd] = status.st_ino
        for fd, connection in list(self._inside.items()):
            if found.get(fd) != connection.inode:
                del self._inside[fd]
                self._left.append(now)
        for fd, inode in found.items():
            if self._seen.get(fd) != inode:
                self._meet(fd, inode)
        self._seen = found
        while self._left and now - self._left[0] > COOL_SECS:
            self._left.popleft()

    def _meet(self, fd: int, inode: int) -> None:
        if self._news is None:
            return
        with suppress(OSError), socket.socket(fileno=os.dup(fd)) as one:
            if one.family not in {socket.AF_INET, socket.AF_INET6} or one.getsockname()[1] not in self._ports:
                return
            if one.type == socket.SOCK_DGRAM:
                self._news.register(fd, select.EPOLLIN)
            elif one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                if inode not in self._listening:
                    self._listening.add(inode)
                    self._listeners[fd] = socket.socket(fileno=os.dup(fd))
                    self._news.register(fd, select.EPOLLIN)
            else:
                self._inside[fd] = self._named(one, fd, inode)
                self._news.register(fd, select.EPOLLIN | select.EPOLLET)  # it need not be read at once, or ever

    @staticmethod
    def _named(one: socket.socket, fd: int, inode: int) -> Connection:
        try:
            host, port = one.getpeername()[:2]
        except OSError:  # it has left already
            return Connection(fd, inode, "", "")
        return Connection(fd, inode, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", host)

    def _make_room(self) -> None:
        """Throw out whom the others need the place of."""
        too_many = len(self._inside) - CROWDED
        if too_many < 0:
            return
        busy = frozenset(self._busy())
        quiet = []
        for one in self._inside.values():
            silence, stranger = _silence(one.fd), not self._known(one.host)
            if one.peer not in busy and (stranger or silence >= SILENT_SECS):
                quiet.append((stranger, silence, one.fd))
        for _, _, fd in sorted(quiet, reverse=True)[: too_many + 1]:
            with suppress(OSError), socket.socket(fileno=os.dup(fd)) as its:
                its.shutdown(socket.SHUT_RDWR)  # PJSIP reads that it is over
                self._thrown()


def _silence(fd: int) -> float:
    """Return how long nothing came by a connection, in seconds."""
    with suppress(OSError, struct.error), socket.socket(fileno=os.dup(fd)) as one:
        told = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
        return float(struct.unpack_from("I", told, _LAST_DATA_RECEIVED)[0]) / 1000
    return 0.0
