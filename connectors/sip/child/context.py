"""What the parts of the child share."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from connectors.sip.child.link import Link
from connectors.sip.child.ports import Tap

SOCKET_PAIRS = 26
COOL_SECS = 0.8
F = TypeVar("F", bound=Callable[..., Any])


class Room:
    """The calls of this process, the ports for their sound, and the way to the parent.

    Attributes:
        calls: number → call (`call.Call`), of calls that are not over.
        taps: free ports.
        refer: whether a caller may transfer us.
        redirect: whether whom we call may send us to somebody else (302).
        most: calls that this process takes.
        taken: counts the slots that PJSIP has in use.
    """

    def __init__(self, link: Link, *, index: int, most: int, refer: bool, redirect: bool = False) -> None:
        """Begin without calls."""
        self.link, self.most, self.refer, self.redirect = link, most, refer, redirect
        self.calls: dict[int, Any] = {}
        self.taps: list[Tap] = []
        self.ports: list[Tap] = []
        self.taken: Callable[[], int] = lambda: 0
        self._number = index * 1_000_000
        self._ended: deque[float] = deque()
        self._let_in: deque[float] = deque()

    @property
    def free(self) -> bool:
        """Whether one more call can be taken."""
        return max(len(self.calls), self.taken()) < self.most and bool(self.taps)

    @property
    def calm(self) -> bool:
        """Whether PJSIP has sockets for one more call.

        Its queue of sockets has 64 places (`PJ_IOQUEUE_MAX_HANDLES`), a call takes two, and they stay taken for half a
        second after its end (`PJ_IOQUEUE_KEY_FREE_DELAY`). One too many, and PJSIP aborts the process.
        """
        now = time.monotonic()
        for times in (self._ended, self._let_in):
            while times and now - times[0] > COOL_SECS:
                times.popleft()
        return len(self.calls) + len(self._ended) + len(self._let_in) < SOCKET_PAIRS

    def let_in(self, streams: int = 1) -> bool:
        """Let an INVITE pass, if it is calm, that offers so many media streams.

        PJSIP takes sockets for each of them, also of those it refuses, and of an INVITE that it refuses as a whole.
        """
        if not self.calm:
            return False
        self._let_in.extend([time.monotonic()] * streams)
        return True

    def ended(self) -> None:
        """A call has ended: its sockets are free in a while."""
        self._ended.append(time.monotonic())

    def number(self) -> int:
        """Return the number of a new call, which no other process of the channel uses."""
        self._number += 1
        return self._number


def guarded(method: F) -> F:
    """Keep an exception of a callback from C++, which ends the process for it; it is told instead."""

    @wraps(method)
    def call(self: Any, *args: Any) -> Any:
        try:
            return method(self, *args)
        except Exception as exc:  # noqa: BLE001 -- see above
            text = f"{method.__name__}: {type(exc).__name__}: {getattr(exc, 'reason', exc)}"
            self.room.link.tell("fault", getattr(self, "number", 0), text=text)
            return None

    return call  # type: ignore[return-value]
