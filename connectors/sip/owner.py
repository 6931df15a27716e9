"""Who is behind a telephony process: a channel, or a simulated telephone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from connectors.sip.process import Process


class Owner(Protocol):
    """Who is told what happens; never waits."""

    def happened(self, process: Process, call: int, event: dict[str, Any]) -> None:
        """Take an event of a call, or with `call` 0 of the process."""
        ...

    def heard(self, process: Process, call: int, waiting: int, pcm: memoryview) -> None:
        """Take 60 ms of a call: caller's leg, then the gateway's; `waiting` frames of ours are still to be played."""
        ...

    def died(self, process: Process) -> None:
        """Know that the calls of the process have ended."""
        ...
