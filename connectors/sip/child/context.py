"""What the parts of the child share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from connectors.sip.child.link import Link
from connectors.sip.child.ports import Tap

F = TypeVar("F", bound=Callable[..., Any])


class Room:
    """The calls of this process, the ports for their sound, and the way to the parent.

    Attributes:
        calls: number → call (`call.Call`), of calls that are not over.
        taps: free ports.
        refer: whether a caller may transfer us.
        redirect: whether whom we call may send us to somebody else (302).
        most: calls that this process takes.
    """

    def __init__(self, link: Link, *, index: int, most: int, refer: bool, redirect: bool = False) -> None:
        """Begin without calls."""
        self.link, self.most, self.refer, self.redirect = link, most, refer, redirect
        self.calls: dict[int, Any] = {}
        self.taps: list[Tap] = []
        self.ports: list[Tap] = []
        self._number = index * 1_000_000

    @property
    def free(self) -> bool:
        """Whether one more call can be taken."""
        return len(self.calls) < self.most and bool(self.taps)

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
