"""The child's life."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import pjsua2 as pj

from connectors.sip.admission import Admission, Refusal
from connectors.sip.child import endpoint as library
from connectors.sip.child.account import Account, make
from connectors.sip.child.commands import Desk
from connectors.sip.child.context import Room
from connectors.sip.child.door import Door
from connectors.sip.child.gatekeeper import install
from connectors.sip.child.link import Link
from connectors.sip.child.ports import check_layout
from connectors.sip.child.watchdog import Watchdog

FAILED = 3
"""Exit status when it could not begin; an event ``failed`` says why."""
_TURN_MS = 10
_LAST_SECS = 1.0


def main(fd: int) -> NoReturn:
    """Serve until the parent is gone or sends SIGTERM."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    with suppress(OSError):  # root, or CAP_SYS_NICE: the clock of calls goes before what can wait
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    link = Link(socket.socket(fileno=fd))
    config = link.first()
    may = {"refer": config["refer"], "redirect": config.get("redirect", False)}
    room = Room(link, index=config["index"], most=config["calls"], **may)
    try:
        child = _Child(config, room)
    except (pj.Error, library.Unusable, RuntimeError, OSError) as exc:
        reason = getattr(exc, "reason", None) or str(exc)
        where = (
            "" if isinstance(exc, library.Unusable) else f"cannot listen on port {config['port']} of {config['host']}: "
        )
        link.tell("failed", reason=where + reason)
        sys.stderr.flush()
        os._exit(FAILED)
    child.serve(lambda: bool(stop) or link.closed)
    child.end()


class _Child:
    """PJSIP, its lines, and what holds them together."""

    def __init__(self, config: dict[str, Any], room: Room) -> None:
        check_layout()
        self.room = room
        self.endpoint = library.start(config, room)
        room.taken = library.taken
        admit = config["admit"]
        self.admission = Admission(
            allow=admit["allow"],
            per_minute=admit["per_minute"],
            retry_after=admit["retry_after"],
            room=lambda: room.free,
            calm=room.let_in,
            clock=time.monotonic,
        )
        self.gatekeeper = install(self.admission, self._refused)
        self.accounts: dict[str, Account] = {line["name"]: make(config, line, room) for line in config["lines"]}
        self.desk = Desk(room, self.accounts, self.admission)
        self.watchdog = Watchdog(room, config["rtp_timeout"])
        self.door = Door(
            config["ports"].values(),
            also=room.link.fileno(),
            known=self.admission.knows,
            busy=lambda: [call.source for call in room.calls.values()],
            thrown=lambda: self._refused(Refusal(0, "connections")),
        )
        room.link.tell(
            "ready",
            ports=config["ports"],
            address=config["address"],
            pid=os.getpid(),
            limit=library.limit(),
            codecs=library.codecs(self.endpoint),
            gatekeeper=self.gatekeeper is not None,
            door=self.door.works,
            version=self.endpoint.libVersion().full,
        )

    def _refused(self, refusal: Refusal) -> None:
        self.room.link.tell("refused", why=refusal.why, code=refusal.code)

    def serve(self, ended: Callable[[], bool]) -> None:
        """Handle events and commands; calls get theirs from one thread, this one."""
        link = self.room.link
        while not ended():
            self.door.turn(self.endpoint.libHandleEvents, _TURN_MS)
            link.flush()
            for kind, number, content in link.received():
                if kind == b"P":
                    self._play(number, content)
                else:
                    self.desk.obey(link.parsed(content))
            self.watchdog.look()

    def _play(self, number: int, pcm: bytes) -> None:
        """Queue sound; in a function of its own, so that no variable of `serve` keeps a call that is over.

        When such an object dies late, it hangs up whatever call has its slot in PJSIP by then.
        """
        call = self.room.calls.get(number)
        if call is not None and call.tap is not None:
            call.tap.play(pcm)

    def end(self) -> NoReturn:
        """Hang up and leave. The order matters, else PJSIP aborts: calls, lines, library, no interpreter shutdown."""
        self.door.close()
        self.endpoint.hangupAllCalls()
        end = time.monotonic() + _LAST_SECS
        while time.monotonic() < end and self.room.calls:
            self.endpoint.libHandleEvents(_TURN_MS)
            self.room.link.flush()
        self.room.calls.clear()
        gc.collect()
        for account in self.accounts.values():
            account.shutdown()  # unregisters
        end = time.monotonic() + _LAST_SECS / 2
        while time.monotonic() < end and len(self.accounts) > 1:
            self.endpoint.libHandleEvents(_TURN_MS)
        self.room.link.flush()
        self.endpoint.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)  # what had to be said was; this saves a second
        os._exit(0)
