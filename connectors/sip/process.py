"""A child process with PJSIP in it, seen from the gateway: started, spoken to, started again when it dies."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from structlog.typing import FilteringBoundLogger

from connectors.errors import Misconfigured
from connectors.sip import wire
from connectors.sip.owner import Owner
from connectors.sip.punctuality import Timekeeper

ANSWER_SECS = 5.0
"""How long the child may take to carry out a command; it is busy for milliseconds."""
START_SECS = 20.0
BEAT_SECS = 3.0
HANG_SECS = 15.0
"""A child that answers nothing for so long is killed; a machine that is very busy is not that busy."""
END_SECS = 5.0
"""How long the child may take to end in its own way: it hangs up and unregisters."""
AGAIN_SECS = (0.2, 30.0)
"""How long to wait before a child is started again: at first, and at most."""
_TURN = 256


class CommandFailed(Exception):
    """The child did not do it; the text is PJSIP's, or says that the call is over."""


class Process:
    """One child.

    Attributes:
        index: counts the channel's children from 0.
        ports: what it listens on, by transport; empty while it does not run.
        address: host part of its SIP URIs, as PJSIP found it: `public_address`, of `listen`, or of this machine.
        calls: calls it has, as the parent counts them.
        most: calls it takes.
    """

    def __init__(
        self, index: int, config: dict[str, Any], owner: Owner, log: FilteringBoundLogger, *, most: int
    ) -> None:
        """Prepare; `run` starts it."""
        self.index, self.config, self._owner, self._log = index, config, owner, log
        self.most = most
        self.calls: set[int] = set()
        self.ports: dict[str, int] = {}
        self.address = ""
        self.ready: dict[str, Any] = {}
        self._sock: socket.socket | None = None
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._dialing: dict[int, Callable[[int], None]] = {}
        self._id = 0
        self._failed = ""
        self._own: dict[str, Callable[[int, dict[str, Any]], None]] = {
            "ready": self._began,
            "failed": self._refused,
            "dialing": self._dialled,
            "done": self._done,
            "log": self._logged,
            "fault": self._fault,
        }
        self._times = Timekeeper(log)
        self._up = asyncio.Event()
        self._gone = asyncio.Event()

    @property
    def up(self) -> bool:
        """Whether it takes calls."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Wait until it takes calls."""
        await self._up.wait()

    async def run(self, report: Callable[[str | None], None]) -> None:
        """Keep it alive until cancelled; then it hangs up and ends.

        Args:
            report: told why it does not run, and None when it does.

        Raises:
            Misconfigured: it could not begin, the first time: an address or a certificate cannot be used.
        """
        delay, began = AGAIN_SECS[0], False
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            await self._life(report)
            began = began or bool(self.ready)
            if not began:
                raise Misconfigured(self._failed or "the telephony process ended before it could begin")
            if loop.time() - started > AGAIN_SECS[1]:
                delay = AGAIN_SECS[0]
            reason = self._failed or "the telephony process died"
            self._log.error("sip_process_died", index=self.index, reason=reason, restart_in=round(delay, 1))
            report(f"{reason}; it is started again")
            await asyncio.sleep(delay)
            delay = min(delay * 2, AGAIN_SECS[1])

    async def _life(self, report: Callable[[str | None], None]) -> None:
        ours, theirs = wire.pair()
        self._failed = ""
        self._gone.clear()
        loop = asyncio.get_running_loop()
        try:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "connectors.sip.child", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=PIPE,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.settimeout(0)
        self._sock = ours
        loop.add_reader(ours, self._readable)
        try:
            async with asyncio.TaskGroup() as group:
                complaints = group.create_task(self._complaints(child))
                self._send(wire.event(0, self.config))
                beat = group.create_task(self._beat(child, report))
                await self._gone.wait()
                beat.cancel()
                with suppress(TimeoutError):
                    async with asyncio.timeout(END_SECS):
                        await child.wait()
                complaints.cancel()
        finally:
            await self._end(child)

    async def _end(self, child: asyncio.subprocess.Process) -> None:
        """Let it hang up and go, else kill it; then its calls are over."""
        loop = asyncio.get_running_loop()
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(END_SECS):
                    await child.wait()
        if child.returncode is None:
            child.kill()
            await child.wait()
        sock, self._sock = self._sock, None
        if sock is not None:
            loop.remove_reader(sock)
            sock.close()
        self._up.clear()
        self.ports = {}
        for future in self._asked.values():
            if not future.done():
                future.set_exception(CommandFailed("the telephony process died"))
        self._asked.clear()
        self._owner.died(self)
        self.calls.clear()
        self._times.forget()

    async def _complaints(self, child: asyncio.subprocess.Process) -> None:
        """Take what it prints: PJSIP's first lines, and the last words of an abort; neither names callers."""
        if child.stderr is None:
            return
        async for line in child.stderr:
            text = line.decode("utf-8", "replace").rstrip()
            loud = "ssert" in text or "Error" in text
            (self._log.warning if loud else self._log.debug)("sip_process_says", index=self.index, line=text[:500])

    async def _beat(self, child: asyncio.subprocess.Process, report: Callable[[str | None], None]) -> None:
        """Kill a child that does nothing any more."""
        try:
            async with asyncio.timeout(START_SECS):
                await self._up.wait()
            report(None)
            while True:
                await asyncio.sleep(BEAT_SECS)
                await self.ask("ping", secs=HANG_SECS)
        except (TimeoutError, CommandFailed):
            if not self._gone.is_set():
                self._log.error("sip_process_stuck", index=self.index)
                self._failed = self._failed or "the telephony process did nothing any more"
                child.kill()

    def _readable(self) -> None:
        for _ in range(_TURN):  # then other tasks get their turn
            if self._sock is None:
                return
            try:
                data = self._sock.recv(wire.MOST)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                asyncio.get_running_loop().remove_reader(self._sock)
                self._gone.set()
                return
            self._take(data)

    def _take(self, data: bytes) -> None:
        kind, call = wire.HEAD.unpack_from(data)
        if kind == b"P":
            waiting, made = wire.SOUND.unpack_from(data, wire.HEAD.size)
            self._times.took(call, made)
            self._owner.heard(self, call, waiting, memoryview(data)[wire.HEAD.size + wire.SOUND.size :])
            return
        event: dict[str, Any] = json.loads(data[wire.HEAD.size :])
        own = self._own.get(event["ev"])
        if own is None:
            self._times.happened(call, event)
            self._owner.happened(self, call, event)
        else:
            own(call, event)

    def _began(self, call: int, event: dict[str, Any]) -> None:
        self.ready, self.ports, self.address = event, event["ports"], event["address"]
        self.most = min(self.most, event["limit"])
        self._up.set()
        self._owner.happened(self, call, event)

    def _refused(self, _: int, event: dict[str, Any]) -> None:
        self._failed = event["reason"]

    def _dialled(self, call: int, event: dict[str, Any]) -> None:
        numbered = self._dialing.pop(event["id"], None)
        if numbered is not None:
            numbered(call)

    def _done(self, _: int, event: dict[str, Any]) -> None:
        future = self._asked.pop(event["id"], None)
        if future is None or future.done():
            return
        if "error" in event:
            future.set_exception(CommandFailed(event["error"]))
        else:
            future.set_result(event)

    def _logged(self, _: int, event: dict[str, Any]) -> None:
        self._log.debug("pjsip", index=self.index, level=event["level"], line=event["text"])

    def _fault(self, call: int, event: dict[str, Any]) -> None:
        self._log.error("sip_process_fault", index=self.index, call=call, line=event["text"][:500])

    async def dial(self, numbered: Callable[[int], None], **content: Any) -> None:
        """Call somebody; `numbered` is told the number of the call before anything else is. Raises `CommandFailed`."""
        number = self._id + 1  # that `ask` takes
        self._dialing[number] = numbered
        try:
            await self.ask("dial", **content)
        finally:
            self._dialing.pop(number, None)

    async def ask(self, command: str, call: int = 0, *, secs: float = ANSWER_SECS, **content: Any) -> dict[str, Any]:
        """Have a command carried out, and return what it answers; raises `CommandFailed`."""
        self._id += 1
        number = self._id
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            if not self._send(wire.event(call, {"cmd": command, "call": call, "id": number, **content})):
                raise CommandFailed("the telephony process does not run")
            async with asyncio.timeout(secs):
                return await future
        except TimeoutError:
            raise CommandFailed("the telephony process does not answer") from None
        finally:
            self._asked.pop(number, None)

    def order(self, command: str, call: int = 0, **content: Any) -> None:
        """Have a command carried out, whatever comes of it."""
        self._send(wire.event(call, {"cmd": command, "call": call, **content}))

    def play(self, call: int, pcm: bytes) -> None:
        """Put sound behind what waits to be played."""
        step = wire.RATE * 2
        for start in range(0, len(pcm), step):
            self._send(wire.sound(call, pcm[start : start + step]))

    def _send(self, message: bytes) -> bool:
        if self._sock is None:
            return False
        try:
            self._sock.send(message)
        except OSError:  # gone, or it reads no more: the beat will tell
            return False
        return True
