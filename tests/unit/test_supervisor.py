from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from connectors.errors import Misconfigured
from gateway import telemetry
from gateway.supervisor import Supervisor

FIRST = 0.02


class Worker:
    """A service that does what it is told in each of its lives, and works until cancelled in all later ones."""

    def __init__(self, *lives: Callable[[], Awaitable[None]]) -> None:
        self.lives, self.births = list(lives), []
        self.ended = False
        self.settled = asyncio.Event()

    async def __call__(self) -> None:
        self.births.append(asyncio.get_running_loop().time())
        if len(self.births) <= len(self.lives):
            await self.lives[len(self.births) - 1]()
            return
        self.settled.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.births, self.births[1:], strict=False)]


async def fails() -> None:
    raise RuntimeError("broken")


async def returns() -> None:
    return


async def waits_for_something_cancelled() -> None:
    lost = asyncio.get_running_loop().create_future()
    lost.cancel()
    await lost


@asynccontextmanager
async def supervised(**options: float) -> AsyncIterator[Supervisor]:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        supervisor = Supervisor(group, **{"first": FIRST, **options})
        yield supervisor
        await supervisor.stop_all()


@pytest.mark.parametrize("life", [fails, returns, waits_for_something_cancelled])
async def test_a_service_that_ends_is_started_again(life: Callable[[], Awaitable[None]]) -> None:
    async with supervised() as supervisor:
        worker = Worker(life)
        supervisor.start("one", worker)
        await worker.settled.wait()

    assert len(worker.births) == 2
    assert worker.ended


async def test_a_service_that_fails_takes_no_other_with_it() -> None:
    async with supervised() as supervisor:
        good, bad = Worker(), Worker(fails, fails)
        supervisor.start("good", good)
        supervisor.start("bad", bad)
        await bad.settled.wait()

        assert len(good.births) == 1


async def test_the_pause_before_a_restart_grows_up_to_its_limit() -> None:
    async with supervised(limit=FIRST * 4) as supervisor:
        worker = Worker(fails, fails, fails, fails)
        supervisor.start("one", worker)
        await worker.settled.wait()

    # A timer never fires early (but for the jitter of 20 %); how late it does is up to the machine.
    for gap, pause in zip(worker.gaps, (FIRST, FIRST * 2, FIRST * 4, FIRST * 4), strict=True):
        assert gap > pause * 0.79


async def test_after_a_long_life_the_pause_is_short_again() -> None:
    async def lives_a_while() -> None:
        await asyncio.sleep(0.6)
        raise RuntimeError("broken")

    async with supervised(first=0.01, stable=0.5, limit=60) as supervisor:
        worker = Worker(*[fails] * 6, lives_a_while)
        supervisor.start("one", worker)
        await worker.settled.wait()

    before, after = worker.gaps[5], worker.gaps[6] - 0.6
    assert after < before, "the pause went on growing"


async def test_stopping_waits_for_the_end_and_the_name_is_free_again() -> None:
    tidied: list[str] = []

    async def tidy_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02)
            tidied.append("done")

    async with supervised() as supervisor:
        supervisor.start("one", tidy_up)
        await asyncio.sleep(0)
        await supervisor.stop("one")
        assert tidied == ["done"]

        supervisor.start("one", Worker())
        with pytest.raises(ValueError, match="one"):
            supervisor.start("one", Worker())


async def test_a_service_that_swallows_its_cancellation_ends_all_the_same() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    async with supervised() as supervisor:
        supervisor.start("one", stubborn)
        await asyncio.sleep(0)
        await supervisor.stop("one")


async def test_whoever_stops_a_service_can_be_cancelled_meanwhile() -> None:
    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)

    async with supervised() as supervisor, asyncio.TaskGroup() as group:
        supervisor.start("slow", slow_to_end)
        await asyncio.sleep(0)
        stopper = group.create_task(supervisor.stop("slow"))
        await asyncio.sleep(0.01)
        stopper.cancel()
        await asyncio.wait([stopper])

        assert stopper.cancelled()


async def test_an_unknown_name_is_nothing_to_stop() -> None:
    async with supervised() as supervisor:
        await supervisor.stop("nobody")


async def test_everything_is_stopped_the_last_started_first() -> None:
    ended: list[str] = []

    def service(name: str) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        return work

    async with supervised() as supervisor:
        for name in ("a", "b", "c"):
            supervisor.start(name, service(name))
        await asyncio.sleep(0)

    assert ended == ["c", "b", "a"]


async def test_a_failure_is_told_at_once_and_the_recovery_when_it_lasts() -> None:
    told: list[str | None] = []

    async def misconfigured() -> None:
        raise Misconfigured("cannot listen on 0.0.0.0:25")

    async with supervised(settle=0.05) as supervisor:
        worker = Worker(misconfigured, misconfigured)
        supervisor.start("one", worker, report=told.append)
        await worker.settled.wait()
        reason = "Misconfigured: cannot listen on 0.0.0.0:25"
        assert told == [None, reason, reason], "a short life is no recovery"

        while len(told) < 4:
            await asyncio.sleep(0.01)
        assert told[3] is None


async def test_nothing_is_told_after_the_end() -> None:
    told: list[str | None] = []
    async with supervised(settle=0.05) as supervisor:
        worker = Worker(fails)
        supervisor.start("one", worker, report=told.append)
        await worker.settled.wait()
        await supervisor.stop("one")
        before = list(told)
        await asyncio.sleep(0.1)

        assert told == before


async def test_restarts_are_counted_by_stage() -> None:
    def count() -> float:
        return telemetry.RESTARTS.labels("unit-test")._value.get()

    before = count()
    async with supervised() as supervisor:
        worker = Worker(fails, returns)
        supervisor.start("one", worker, stage="unit-test")
        await worker.settled.wait()

    assert count() == before + 2
