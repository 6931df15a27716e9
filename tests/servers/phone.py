"""A telephone for tests: the simulator's (PJSIP in a child process), with somebody who takes the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from gateway.simulate.call_line import Leg, Line
from gateway.simulate.call_wiring import Wiring
from tests.sip.sound import Pcm


class Phone(Line):
    """Calls by `dial`, and takes calls; use it in an ``async with``.

    Attributes:
        taken: calls that came, in order.
    """

    def __init__(self, *, answer: int | None = 200, **wiring: Any) -> None:
        """Answer calls with a status (None: let them ring); `wiring` is `Wiring`'s."""
        super().__init__(Wiring(**wiring), incoming=self._came)
        self._answer = answer
        self.taken: list[Leg] = []
        self._answering: set[asyncio.Task[None]] = set()

    def _came(self, leg: Leg) -> None:
        self.taken.append(leg)
        if self._answer is not None:
            task = asyncio.Task(leg.ask("answer", code=self._answer))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    @property
    def uri(self) -> str:
        """Where it can be called."""
        transport, port = next(iter(self.ports.items()))
        return f"sip:phone@127.0.0.1:{port};transport={transport}"

    async def next_call(self, number: int = 1) -> Leg:
        """Wait for so many calls to have come, and return the last of these."""
        await until(lambda: len(self.taken) >= number, f"call {number} has come")
        return self.taken[number - 1]


async def up(leg: Leg, secs: float = 20) -> Leg:
    """Wait for the answer; raises `AssertionError` when there is another."""
    await until(lambda: leg.state != "dialing", "an answer", secs)
    assert leg.state == "up", f"the call failed: {leg.code} {leg.reason}"
    return leg


async def over(leg: Leg, secs: float = 30) -> Leg:
    """Wait for the end."""
    await until(lambda: leg.state == "over", "the call is over", secs)
    return leg


def heard(leg: Leg) -> Pcm:
    """Return what came so far."""
    return np.frombuffer(bytes(leg.heard), dtype="<i2")


async def until(condition: Callable[[], object], what: str, secs: float = 20) -> None:
    """Poll until `condition` is true; raises `AssertionError` that names `what`."""
    deadline = asyncio.get_running_loop().time() + secs
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"{what}: not within {secs:g} s"
        await asyncio.sleep(0.02)
