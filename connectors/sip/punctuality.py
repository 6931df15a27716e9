"""Whether sound comes in time: by the schedule of the media clock, not by when the packet before it came."""

from __future__ import annotations

import time
from typing import Any

from structlog.typing import FilteringBoundLogger

from connectors.sip import wire

LATE_SECS = 0.06


class Punctuality:
    """Of the sound of one call on its way from the media clock to the gateway's event loop.

    Attributes:
        packets: that came.
        late: of them, later than `LATE_SECS` after they were due.
        worst: the latest, in seconds.
    """

    __slots__ = ("_first", "_since", "late", "packets", "worst")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.packets = self.late = self._since = 0
        self.worst = 0.0
        self._first = float("inf")

    def took(self, made: float, now: float) -> None:
        """Count a packet that the clock finished at `made`, and that is here `now` (`time.monotonic`, seconds)."""
        self.packets += 1
        begun = made - self._since * wire.PACKET_MS / 1000
        self._first = min(self._first, begun)  # the earliest so far is what is nearest to the schedule
        delay = now - self._first - self._since * wire.PACKET_MS / 1000
        self._since += 1
        self.late += delay > LATE_SECS
        self.worst = max(self.worst, delay)

    def restart(self) -> None:
        """Begin a new schedule: the media stood still for a while (hold, re-INVITE)."""
        self._since, self._first = 0, float("inf")


class Timekeeper:
    """Keeps an eye on the sound of all calls of a process, and writes into the log how it was, at debug."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        """Write to `log`."""
        self._log = log
        self._calls: dict[int, Punctuality] = {}

    def took(self, call: int, made: float) -> None:
        """Count a packet that the clock finished at `made`."""
        self._calls.setdefault(call, Punctuality()).took(made, time.monotonic())

    def happened(self, call: int, event: dict[str, Any]) -> None:
        """Look at an event of a call; `unsent` are packets of its process that found no way to us."""
        if event["ev"] == "media" and call in self._calls:
            self._calls[call].restart()
        elif "unsent" in event and (seen := self._calls.pop(call, None)) is not None:
            counts = {"packets": seen.packets, "late": seen.late, "worst_ms": round(seen.worst * 1000)}
            self._log.debug("sip_sound", call=call, unsent=event["unsent"], **counts)

    def forget(self) -> None:
        """Know that the process is gone."""
        self._calls.clear()
