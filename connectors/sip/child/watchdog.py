"""Callers who vanish: PJSIP has no RTP time-out, so packets are counted once a second."""

from __future__ import annotations

import time
from contextlib import suppress

import pjsua2 as pj

from connectors.sip.child.context import Room


class Watchdog:
    """Hangs up calls that are answered, not on hold, and silent on the wire for `seconds`; 0 never."""

    def __init__(self, room: Room, seconds: int) -> None:
        """Begin now."""
        self._room, self._seconds, self._next = room, seconds, time.monotonic() + 1

    def look(self) -> None:
        """Look, if a second has passed."""
        now = time.monotonic()
        if not self._seconds or now < self._next:
            return
        self._next = now + 1
        for call in list(self._room.calls.values()):
            if not call.up or call.media != "active":
                continue
            packets = int(call.stats().get("received", 0))
            call.quiet = 0 if packets != call.seen else call.quiet + 1
            call.seen = packets
            if call.quiet >= self._seconds:
                self._room.link.tell("quiet", call.number, secs=call.quiet)
                call.quiet = 0
                with suppress(pj.Error):  # it is being hung up already: who vanished does not answer a BYE
                    call.hangup(pj.CallOpParam())
