"""A telephone: PJSIP in a child process of `connectors.sip.child`, which calls, and can be called."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from logging import CRITICAL
from typing import Any, Self

import structlog

from connectors.sip import wire
from connectors.sip.process import CommandFailed, Process
from gateway.simulate.call_wiring import Wiring
from normalizer.errors import OmniError

READY_SECS = 30.0
ANSWER_SECS = 15.0
"""How long the child may take to do what it is asked."""
AHEAD = 100
"""Frames of 20 ms that may wait in the child to be said."""
_LATE = 10
_FULL, _SLOT_SECS = ("no room", "PJ_ETOOMANY"), 2.0  # PJSIP gives the slot of a call back a moment after its end
_SILENT: Any = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))


class LineFault(OmniError):
    """The child cannot do it; the message is PJSIP's."""

    code = "sip_line"


class Leg:
    """One call of a telephone.

    Attributes:
        code, reason: the last SIP status.
        setup_secs: from INVITE to answer.
        media: what became of the sound, one entry for each change: ``active``, ``remote_hold`` …
        heard, said: sound of both directions while the call was up, of one length: 16-bit, mono, 8000 Hz.
        digits: keys that came, with how.
        transfers: statuses of a transfer that was asked for.
        stats: of RTP, once it is over.
    """

    def __init__(self, line: Line, number: int) -> None:
        """Belong to a telephone."""
        self._line, self.number, self._began = line, number, time.monotonic()
        self.code, self.reason = 0, ""
        self.answered, self.ended = asyncio.Event(), asyncio.Event()
        self.media: list[dict[str, Any]] = []
        self.heard, self.said = bytearray(), bytearray()
        self.digits: list[tuple[str, str]] = []
        self.transfers: list[int] = []
        self.stats: dict[str, float] = {}
        self._waiting, self._turn = 0, asyncio.Event()
        self.setup_secs: float | None = None

    @property
    def state(self) -> str:
        """Where the call is: ``dialing``, ``up`` or ``over``."""
        return "over" if self.ended.is_set() else "up" if self.answered.is_set() else "dialing"

    async def ask(self, command: str, **content: Any) -> None:
        """Let the child do something with the call; raises `LineFault`."""
        await self._line.ask(command, self.number, **content)

    async def say(self, pcm: bytes) -> None:
        """Speak; returns when all was said, or the call is over."""
        for start in range(0, len(pcm), wire.RATE):
            self._line.play(self.number, pcm[start : start + wire.RATE])
            for _ in range(_LATE):  # packets that were on their way do not know of it yet
                await self._packet()
                if self._waiting:
                    break
            while self._waiting > AHEAD and not self.ended.is_set():
                await self._packet()
        while self._waiting and not self.ended.is_set():
            await self._packet()

    async def _packet(self) -> None:
        """Wait for the next packet of sound, or the end."""
        if not self.ended.is_set():
            self._turn.clear()
            await self._turn.wait()

    async def hang_up(self) -> None:
        """End it, and wait for the end; nothing happens when it is over."""
        if not self.ended.is_set():
            with suppress(LineFault):
                await self.ask("hangup")
            async with asyncio.timeout(ANSWER_SECS):
                await self.ended.wait()

    def took_sound(self, waiting: int, pcm: memoryview) -> None:
        """Take a packet of the child."""
        half = len(pcm) // 2
        self._waiting = waiting
        self._turn.set()
        if self._line.keep_sound:
            self.heard += pcm[:half]
            self.said += pcm[half:]

    def took(self, told: dict[str, Any]) -> None:
        """Take an event of the child."""
        match told["ev"]:
            case "state":
                self.code, self.reason = told["code"] or self.code, told["reason"] or self.reason
                if told["state"] == "CONFIRMED" and not self.answered.is_set():
                    self.setup_secs = time.monotonic() - self._began
                    self.answered.set()
                elif told["state"] == "DISCONNECTED":
                    self.stats = told.get("stats", {})
                    self.over()
            case "media":
                self.media.append(told)
            case "dtmf":
                self.digits.append((told["digit"], told["method"]))
            case "transfer":
                self.transfers.append(told["code"])
            case _:
                pass

    def over(self) -> None:
        """Know that the call has ended."""
        self.ended.set()
        self._turn.set()


class Line:
    """A child process, and its calls; use it in an ``async with``.

    Attributes:
        ports: that it listens on, by transport.
        limit: how many calls it can have.
        registrations: what the registrar answered, one after the other.
        keep_sound: whether `Leg.heard` and `Leg.said` are kept.
        legs: its calls, by number, also those that are over.
    """

    def __init__(
        self, wiring: Wiring, *, incoming: Callable[[Leg], None] = lambda _: None, keep_sound: bool = True
    ) -> None:
        """Be called: `incoming` is told of each call, and may let it be answered."""
        self._process = Process(0, wiring.config(), self, _SILENT, most=wiring.calls)
        self._incoming, self.keep_sound = incoming, keep_sound
        self.registrations: list[dict[str, Any]] = []
        self.legs: dict[int, Leg] = {}

    async def __aenter__(self) -> Self:
        """Start it; raises `LineFault`."""
        self._life = asyncio.Task(self._process.run(lambda _: None), name="telephone")
        up = asyncio.Task(self._process.wait_up())
        await asyncio.wait([self._life, up], timeout=READY_SECS, return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            up.cancel()
            await self._end()
            raise LineFault(str(self._life.exception() if self._life.done() else "it does not begin"))
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Hang up everything, and end the process."""
        await self._end()

    @property
    def ports(self) -> dict[str, int]:
        """What it listens on, by transport."""
        return self._process.ports

    @property
    def limit(self) -> int:
        """How many calls it can have."""
        return self._process.most

    async def dial(self, uri: str, headers: dict[str, str] | None = None) -> Leg:
        """Call somebody; raises `LineFault` when no INVITE could be sent."""
        dialled: list[Leg] = []

        def numbered(call: int) -> None:
            self.legs[call] = Leg(self, call)
            dialled.append(self.legs[call])

        until = time.monotonic() + _SLOT_SECS
        while True:
            call_id = f"{random.getrandbits(96):x}"
            try:
                await self._process.dial(numbered, line="", uri=uri, sip_call_id=call_id, headers=headers or {})
            except CommandFailed as exc:
                if not any(one in str(exc) for one in _FULL) or time.monotonic() > until:
                    raise LineFault(str(exc)) from exc
                await asyncio.sleep(0.02)
            else:
                return dialled[-1]

    async def ask(self, command: str, call: int = 0, **content: Any) -> None:
        """Let the child do something; raises `LineFault`."""
        try:
            await self._process.ask(command, call, **content)
        except CommandFailed as exc:
            raise LineFault(str(exc)) from exc

    def play(self, call: int, pcm: bytes) -> None:
        """Put sound behind what is still to be said."""
        self._process.play(call, pcm)

    def happened(self, process: Process, call: int, event: dict[str, Any]) -> None:
        """See `connectors.sip.process.Owner`."""
        match event["ev"]:
            case "registration":
                self.registrations.append(event)
            case "incoming":
                self.legs[call] = Leg(self, call)
                self._incoming(self.legs[call])
            case _ if call in self.legs:
                self.legs[call].took(event)
            case _:
                pass

    def heard(self, process: Process, call: int, waiting: int, pcm: memoryview) -> None:
        """See `connectors.sip.process.Owner`."""
        if call in self.legs:
            self.legs[call].took_sound(waiting, pcm)

    def died(self, process: Process) -> None:
        """See `connectors.sip.process.Owner`."""
        for leg in self.legs.values():
            leg.over()

    async def _end(self) -> None:
        self._life.cancel()
        await asyncio.wait([self._life])
