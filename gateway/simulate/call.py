"""Simulated callers: real SIP, real RTP, from sound in a file."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from typing_extensions import override

from gateway.simulate.call_line import Leg, Line, LineFault
from gateway.simulate.call_sound import save
from gateway.simulate.call_wiring import Wiring
from gateway.simulate.report import Report

PER_LINE = 4
"""Calls that a process of PyPI's pjsua2 carries."""
RING_SECS = 120.0
HINTS = {
    0: "nobody answered: is the gateway running, and is this its SIP port?",
    403: "the caller's address is not among the channel's `allow`",
    404: "nobody there has this number",
    408: "nobody answered: is the gateway running, and is this its SIP port?",
    480: "nobody took the call in time: this channel waits for `call.answer`",
    486: "all lines are busy (max_calls)",
    488: "no codec in common, or one side insists on SRTP",
    503: "the gateway is draining, or takes no more calls from this address for now (invites_per_minute)",
}
"""SIP status → what to do about it."""
Flag = Annotated[bool, Parameter(negative=())]


@dataclass(frozen=True, kw_only=True)
class Calls:
    """What callers do.

    Attributes:
        calls: how many calls are made.
        at_once: at most so many at a time.
        rate: new calls per second; 0 is as fast as it goes.
        secs: how long each call lasts; by default until all is said, and a second more.
        dtmf: keys to press after the sound.
        dtmf_method: how: rfc4733 or info.
        hangup: who ends the call: we (caller), or the other side (callee).
        record: write what was said (left) and heard (right) into this WAV; of further calls into NAME-2.wav …
    """

    calls: int = 1
    at_once: int = 1
    rate: float = 0.0
    secs: float | None = None
    dtmf: str = ""
    dtmf_method: Literal["rfc4733", "info"] = "rfc4733"
    hangup: Literal["caller", "callee"] = "caller"
    record: Path | None = None

    def problem(self) -> str | None:
        """Say what cannot be meant, or None."""
        if min(self.calls, self.at_once) < 1:
            return "--calls and --at-once must be at least 1"
        if self.rate < 0 or (self.secs is not None and self.secs <= 0):
            return "--rate and --secs must not be negative"
        if not set(self.dtmf) <= set("0123456789*#ABCD"):
            return "--dtmf: keys are 0 to 9, *, #, A to D"
        if self.record is not None and not self.record.absolute().parent.is_dir():
            return f"--record: there is no folder {self.record.parent}"
        return None


@dataclass(kw_only=True)
class CallReport(Report):
    """What became of the calls; `accepted` were answered, `statuses` are SIP's, `latencies` from INVITE to answer.

    Attributes:
        received, lost: packets of sound that came, and did not.
        transmitted, remote_lost: that were sent, and that the other side missed.
        talk_secs: of all calls.
        reason: the last reason phrase of a call that failed.
    """

    received: int = 0
    lost: int = 0
    transmitted: int = 0
    remote_lost: int = 0
    talk_secs: float = 0.0
    reason: str = ""
    jitter_ms: array[float] = field(default_factory=lambda: array("d"))

    def count(self, leg: Leg) -> None:
        """Add a call that is over."""
        self.received += int(leg.stats.get("received", 0))
        self.lost += int(leg.stats.get("lost", 0))
        self.transmitted += int(leg.stats.get("sent", 0))
        self.remote_lost += int(leg.stats.get("remote_lost", 0))
        if "jitter_us" in leg.stats:
            self.jitter_ms.append(leg.stats["jitter_us"] / 1000)

    @override
    def hints(self) -> list[str]:
        return [f"SIP {status or 'none'}: {hint}" for status, hint in HINTS.items() if self.statuses[status]]


async def ring(
    uri: str, calls: Calls, wiring: Wiring, sound: bytes, *, progress: Callable[[Report], None] = lambda _: None
) -> CallReport:
    """Make the calls, and report.

    Args:
        uri: SIP URI to call.
        calls: how many, and what happens.
        wiring: of the telephones.
        sound: that callers say: 16-bit, mono, 8000 Hz.
        progress: told after each call.

    Raises:
        LineFault: a telephone could not be connected.
    """
    report, began = CallReport(), time.monotonic()
    async with AsyncExitStack() as stack:
        at_once = min(calls.at_once, calls.calls)
        keep = calls.record is not None
        lines = [await stack.enter_async_context(Line(wiring, keep_sound=keep)) for _ in range(-(-at_once // PER_LINE))]
        numbers = iter(range(1, calls.calls + 1))
        turns = _Turns(calls.rate)
        async with asyncio.TaskGroup() as group:
            for place in range(at_once):
                caller = _Caller(lines[place % len(lines)], uri, calls, sound, report)
                group.create_task(caller.run(numbers, turns, progress))
    report.seconds = time.monotonic() - began
    return report


class _Turns:
    """Spreads the beginnings of calls over time."""

    def __init__(self, rate: float) -> None:
        self._rate, self._next = rate, time.monotonic()

    async def wait(self) -> None:
        if self._rate > 0:
            self._next += 1 / self._rate
            await asyncio.sleep(max(0.0, self._next - time.monotonic()))


class _Caller:
    """Makes one call after the other."""

    def __init__(self, line: Line, uri: str, calls: Calls, sound: bytes, report: CallReport) -> None:
        self._line, self._uri, self._calls, self._sound, self._report = line, uri, calls, sound, report

    async def run(self, numbers: Iterator[int], turns: _Turns, progress: Callable[[Report], None]) -> None:
        """Call as long as there are numbers left."""
        report = self._report
        for number in numbers:  # all callers take from one iterator
            await turns.wait()
            report.sent += 1
            try:
                leg = await self._line.dial(self._uri)
            except LineFault as exc:
                report.failed += 1
                report.statuses[0] += 1
                report.reason = str(exc)
            else:
                await self._talk(leg, number)
            progress(report)

    async def _talk(self, leg: Leg, number: int) -> None:
        report = self._report
        await _first(leg.answered, leg.ended, secs=RING_SECS)
        if leg.state != "up":
            await leg.hang_up()
            report.failed += 1
            report.statuses[leg.code] += 1
            report.reason = leg.reason
            return
        report.accepted += 1
        report.statuses[200] += 1
        report.latencies.append(leg.setup_secs or 0.0)
        since = time.monotonic()
        await self._speak(leg)
        await leg.hang_up()
        report.talk_secs += time.monotonic() - since
        report.count(leg)
        if self._calls.record is not None:
            save(numbered(self._calls.record, number), bytes(leg.said), bytes(leg.heard))

    async def _speak(self, leg: Leg) -> None:
        calls, until = self._calls, time.monotonic() + (self._calls.secs or 0)
        async with asyncio.TaskGroup() as group:
            talking = group.create_task(self._say(leg))
            if calls.secs is not None:
                await _first(leg.ended, secs=until - time.monotonic())
                talking.cancel()
        if calls.hangup == "callee":
            await leg.ended.wait()
        elif calls.secs is None:
            await _first(leg.ended, secs=1.0)

    async def _say(self, leg: Leg) -> None:
        await leg.say(self._sound)
        if self._calls.dtmf and leg.state == "up":
            await leg.ask("dtmf", digits=self._calls.dtmf, method=self._calls.dtmf_method)
            await asyncio.sleep(0.3 * len(self._calls.dtmf))


async def _first(*events: asyncio.Event, secs: float) -> None:
    """Wait for any of the events, or the time."""
    tasks = [asyncio.Task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=max(0.0, secs), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def numbered(path: Path, number: int) -> Path:
    """Name the file of a call; the first has the plain name."""
    return path if number == 1 else path.with_stem(f"{path.stem}-{number}")
