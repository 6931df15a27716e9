"""Tries, with time that passes when somebody sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from connectors.errors import Deferred, Refused, Throttled, Unreachable
from dedup.api import DedupUnavailable
from gateway.limits import Backoff, Breaker, Gate, State, Timing
from gateway.outbound_errors import Expired, SendFault
from gateway.outbound_sender import Progress, Sender
from gateway.telemetry import Meters
from normalizer.rpc import RpcError


class Bench:
    """A sender whose clock moves when it sleeps, and an operation that fails as scripted."""

    def __init__(self, *, attempts: int = 5, threshold: int = 100) -> None:
        self.now = 0.0
        timing = Timing(wall=lambda: self.now, steady=lambda: self.now, sleep=self.sleep)
        self.breaker = Breaker(threshold=threshold, base=5.0, steady=timing.steady)
        self.sender = Sender(
            Gate(self.breaker, timing=timing),
            max_sends=2,
            attempts=attempts,
            backoff=Backoff(uniform=max),
            timing=timing,
            meters=Meters("bench", "testchat"),
            log=structlog.get_logger(),
        )
        self.script: list[Exception] = []
        self.progress = Progress()

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    async def operation(self) -> str:
        assert self.progress.busy
        if self.script:
            raise self.script.pop(0)
        return "done"

    async def perform(
        self,
        operation: Callable[[], Awaitable[str]] | None = None,
        *,
        timeout: float = 5.0,
        deadline: float | None = None,
    ) -> str:
        return await self.sender.perform(
            operation or self.operation, timeout=timeout, deadline=deadline, progress=self.progress
        )


async def test_tries_are_spread_by_doubling_delays() -> None:
    bench = Bench()
    bench.script = [Unreachable("x") for _ in range(4)]

    assert await bench.perform() == "done"
    assert bench.now == 0.5 + 1 + 2 + 4


async def test_the_last_try_ends_it() -> None:
    bench = Bench(attempts=3)
    bench.script = [Unreachable("x") for _ in range(9)]

    with pytest.raises(Unreachable):
        await bench.perform()
    assert bench.progress.tries == 3


async def test_what_is_not_retryable_is_tried_once() -> None:
    for error in (Refused("x"), RpcError(-32602, "x")):
        bench = Bench()
        bench.script = [error]

        with pytest.raises(type(error)):
            await bench.perform()
        assert bench.progress.tries == 1
        assert bench.breaker.state is State.CLOSED


async def test_a_recipient_who_cannot_take_it_now_is_waited_for_and_holds_nobody_else() -> None:
    bench = Bench(threshold=1)
    bench.script = [Deferred("x", retry_after=30.0), Deferred("x", retry_after=60.0)]

    assert await bench.perform() == "done"
    assert bench.now == 30 + 0.5 + 60 + 1
    assert bench.breaker.state is State.CLOSED
    assert bench.sender.gate.paused_secs == 0


async def test_retry_after_is_waited_out() -> None:
    bench = Bench()
    bench.script = [Throttled("x", retry_after=3_600.0)]

    assert await bench.perform() == "done"
    assert bench.now == 3_600.0


async def test_no_try_begins_after_the_deadline() -> None:
    bench = Bench()
    bench.script = [Unreachable("x") for _ in range(9)]

    with pytest.raises(Expired):
        await bench.perform(deadline=2.0)
    assert bench.now == 2.0
    assert bench.progress.tries == 3


async def test_an_operation_that_never_ends_is_unreachable() -> None:
    bench = Bench(attempts=1)

    async def forever() -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(Unreachable, match="no answer"):
        await bench.perform(forever, timeout=0.01)


async def test_a_fault_of_the_connector_is_ours_and_says_nothing_about_the_provider() -> None:
    bench = Bench(attempts=2, threshold=1)
    bench.script = [KeyError("a"), KeyError("b")]

    with pytest.raises(SendFault):
        await bench.perform()
    assert bench.breaker.state is State.CLOSED


async def test_a_store_that_is_away_says_nothing_about_the_provider() -> None:
    bench = Bench(threshold=1)
    bench.script = [DedupUnavailable("x")]

    assert await bench.perform() == "done"
    assert bench.breaker.state is State.CLOSED


async def test_an_outage_is_waited_out_with_probes() -> None:
    bench = Bench(attempts=10, threshold=2)
    bench.script = [Unreachable("x") for _ in range(5)]

    assert await bench.perform() == "done"
    assert bench.now >= 5 + 10 + 20
    assert bench.breaker.state is State.CLOSED
    assert bench.sender.last_error == "unreachable"


async def test_a_cancelled_call_tells_nothing_and_frees_its_place() -> None:
    bench = Bench(threshold=1)
    started = asyncio.Event()

    async def wait() -> str:
        started.set()
        await asyncio.Event().wait()
        return ""

    async with asyncio.TaskGroup() as group:
        task = group.create_task(bench.perform(wait))
        await started.wait()
        task.cancel()

    assert bench.breaker.state is State.CLOSED
    assert await bench.perform() == "done"
