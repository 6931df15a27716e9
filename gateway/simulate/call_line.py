"""A telephone: PJSIP in a child process of `connectors.sip.child`, which calls, and can be called."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from connectors.sip import wire
from normalizer.errors import OmniError

READY_SECS = 30.0
ANSWER_SECS = 15.0
"""How long the child may take to do what it is asked."""
AHEAD = 100
"""Frames of 20 ms that may wait in the child to be said."""
_RTP = (10_000, 19_000)
_RTP_EACH = 400


class LineFault(OmniError):
    """The child cannot do it; the message is PJSIP's."""

    code = "sip_line"


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """How a telephone is connected.

    Attributes:
        user: user part of its address.
        host: address it uses.
        port: it listens on; 0 is any.
        transport: that it calls by.
        tls: certificate, key and authorities (`cert`, `key`, `ca`: PEM files, or empty).
        srtp: ``off``, ``optional`` or ``mandatory``.
        codecs: by preference.
        registrar: SIP URI to register at.
        password: for the registrar and for whoever asks.
        refer: let others transfer it.
        calls: at once.
        session_expires: seconds (RFC 4028).
        expires: of a registration, in seconds.
        rtp_timeout: seconds without sound after which it hangs up; 0 is never.
    """

    user: str = "caller"
    host: str = "127.0.0.1"
    port: int = 0
    transport: Literal["udp", "tcp", "tls"] = "udp"
    tls: dict[str, str] = field(default_factory=dict)
    srtp: Literal["off", "optional", "mandatory"] = "off"
    codecs: tuple[str, ...] = ("PCMU", "PCMA", "G722", "opus")
    registrar: str | None = None
    password: str | None = None
    refer: bool = False
    calls: int = 4
    session_expires: int = 1800
    expires: int = 300
    rtp_timeout: int = 0

    def config(self) -> dict[str, Any]:
        """Write what the child wants to know."""
        first = random.randrange(*_RTP, 2)
        transports = [self.transport]
        domain = self.host if self.registrar is None else self.registrar.partition(":")[2].partition(";")[0]
        line = {
            "name": "",
            "id": f"sip:{self.user}@{domain}",
            "registrar": self.registrar,
            "register": True,
            "expires": self.expires,
            "retry": 5,
            "realm": "*",
            "auth_user": self.user,
            "password": self.password,
        }
        return {
            "index": 0,
            "host": self.host,
            "port": self.port,
            "rtp": (first, first + _RTP_EACH),
            "transports": transports,
            "tls": {"port": 0, "cert": "", "key": "", "ca": "", **self.tls},
            "calls": self.calls,
            "codecs": list(self.codecs),
            "srtp": self.srtp,
            "session_expires": self.session_expires,
            "lines": [line],
            "refer": self.refer,
            "admit": {"allow": [], "per_minute": 0, "retry_after": 1},
            "rtp_timeout": self.rtp_timeout,
            "user_agent": "Omnigate simulator",
            "log": 1,
        }


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
        self.code, self.reason, self.setup_secs = 0, "", None
        self.answered, self.ended, self.changed = asyncio.Event(), asyncio.Event(), asyncio.Condition()
        self.media: list[dict[str, Any]] = []
        self.heard, self.said = bytearray(), bytearray()
        self.digits: list[tuple[str, str]] = []
        self.transfers: list[int] = []
        self.stats: dict[str, float] = {}
        self._waiting = 0
        self.setup_secs: float | None = None

    @property
    def state(self) -> str:
        """Where the call is: ``dialing``, ``up`` or ``over``."""
        return "over" if self.ended.is_set() else "up" if self.answered.is_set() else "dialing"

    async def ask(self, command: str, **content: Any) -> None:
        """Let the child do something with the call; raises `LineFault`."""
        await self._line.ask(command, call=self.number, **content)

    async def say(self, pcm: bytes) -> None:
        """Speak; returns when all was said, or the call is over."""
        for start in range(0, len(pcm), wire.RATE):
            while self._waiting > AHEAD and not self.ended.is_set():
                await asyncio.sleep(0.02)
            self._waiting += -(-len(pcm[start : start + wire.RATE]) // wire.FRAME)
            self._line.send(wire.sound(self.number, pcm[start : start + wire.RATE]))
        mark = len(self.said)
        while not self.ended.is_set() and (self._waiting > 0 or len(self.said) == mark):
            await asyncio.sleep(0.02)

    async def hang_up(self) -> None:
        """End it, and wait for the end; nothing happens when it is over."""
        if not self.ended.is_set():
            with suppress(LineFault):
                await self.ask("hangup")
            async with asyncio.timeout(ANSWER_SECS):
                await self.ended.wait()

    def took_sound(self, waiting: int, pcm: bytes) -> None:
        """Take a packet of the child."""
        half = len(pcm) // 2
        self._waiting = waiting
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
                    self.ended.set()
            case "media":
                self.media.append(told)
            case "dtmf":
                self.digits.append((told["digit"], told["method"]))
            case "transfer":
                self.transfers.append(told["code"])


class Line:
    """A child process, and its calls; use it in an ``async with``.

    Attributes:
        ports: that it listens on, by transport.
        limit: how many calls it can have.
        registrations: what the registrar answered, one after the other.
        keep_sound: whether `Leg.heard` and `Leg.said` are kept.
    """

    def __init__(
        self, wiring: Wiring, *, incoming: Callable[[Leg], None] = lambda _: None, keep_sound: bool = True
    ) -> None:
        """Be called: `incoming` is told of each call, and may let it be answered."""
        self.wiring, self._incoming, self.keep_sound = wiring, incoming, keep_sound
        self.ports: dict[str, int] = {}
        self.limit = 0
        self.registrations: list[dict[str, Any]] = []
        self.legs: dict[int, Leg] = {}
        self._asked: dict[int, asyncio.Future[int]] = {}
        self._last = 0

    async def __aenter__(self) -> Self:
        """Start it; raises `LineFault`."""
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._socket, theirs = wire.pair()
        argv = [sys.executable, "-m", "connectors.sip.child", str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
        finally:
            theirs.close()
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._readable)
        self.send(wire.event(0, self.wiring.config()))
        try:
            async with asyncio.timeout(READY_SECS):
                await self._ready
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Hang up everything, and end the process."""
        await self._end()

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._process.pid

    async def dial(self, uri: str, headers: dict[str, str] | None = None) -> Leg:
        """Call somebody; raises `LineFault` when no INVITE could be sent."""
        call_id = f"{random.getrandbits(96):x}"
        number = await self.ask("dial", line="", uri=uri, sip_call_id=call_id, headers=headers or {})
        return self.legs[number]

    async def ask(self, command: str, *, call: int = 0, **content: Any) -> int:
        """Let the child do something; returns the number of the call it was about. Raises `LineFault`."""
        self._last += 1
        answer = self._asked[self._last] = self._loop.create_future()
        self.send(wire.event(call, {"cmd": command, "call": call, "id": self._last, **content}))
        async with asyncio.timeout(ANSWER_SECS):
            return await answer

    def send(self, message: bytes) -> None:
        """Send a message to the child."""
        with suppress(OSError):
            self._socket.send(message)

    def _readable(self) -> None:
        for _ in range(64):
            try:
                data = self._socket.recv(wire.MOST)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._gone()
                return
            kind, number = wire.HEAD.unpack_from(data)
            content = data[wire.HEAD.size :]
            if kind == b"P" and number in self.legs:
                waiting = wire.SOUND.unpack_from(content)[0]
                self.legs[number].took_sound(waiting, content[wire.SOUND.size :])
            elif kind == b"J":
                self._told(number, json.loads(content))

    def _told(self, number: int, told: dict[str, Any]) -> None:
        match told["ev"]:
            case "ready":
                self.ports, self.limit = told["ports"], min(told["limit"], self.wiring.calls)
                self._ready.set_result(None)
            case "failed":
                self._ready.set_exception(LineFault(told["reason"]))
            case "registration":
                self.registrations.append(told)
            case "dialing":
                self.legs[number] = Leg(self, number)
                self._settle(told["id"], number, None)
            case "done":
                self._settle(told["id"], number, told.get("error"))
            case "incoming":
                leg = self.legs[number] = Leg(self, number)
                self._incoming(leg)
            case _ if number in self.legs:
                self.legs[number].took(told)

    def _settle(self, asked: int, number: int, error: str | None) -> None:
        answer = self._asked.pop(asked, None)
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(number)
        else:
            answer.set_exception(LineFault(error))

    def _gone(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        for answer in [self._ready, *self._asked.values()]:
            if not answer.done():
                answer.set_exception(LineFault("the telephone's process ended"))
                answer.exception()  # somebody may have stopped waiting
        for leg in self.legs.values():
            leg.ended.set()

    async def _end(self) -> None:
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, ANSWER_SECS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._gone()
