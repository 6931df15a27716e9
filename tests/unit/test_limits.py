"""Back-off, breaker, gate and lanes, with time that passes when somebody sleeps."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import Backoff, Breaker, Gate, Lanes, Overdue, State, Timing


class Hours:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    @property
    def timing(self) -> Timing:
        return Timing(wall=self, steady=self, sleep=self.sleep)


@pytest.fixture
def hours() -> Hours:
    return Hours()


def make_breaker(hours: Hours, changes: list[State] | None = None) -> Breaker:
    hear = None if changes is None else changes.append
    return Breaker(threshold=3, base=5.0, cap=60.0, steady=hours, on_change=hear)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.begin()
        breaker.failure()


@given(attempt=st.integers(1, 10_000))
def test_a_delay_lies_between_nothing_and_the_doubled_bound(attempt: int) -> None:
    highest = Backoff(uniform=max).delay(attempt)
    lowest = Backoff(uniform=min).delay(attempt)

    assert highest == min(60.0, 0.5 * 2 ** min(attempt - 1, 20))
    assert lowest == 0.0


def test_a_closed_breaker_lets_everybody_pass(hours: Hours) -> None:
    assert make_breaker(hours).wait() == 0.0


def test_failures_in_a_row_open_the_breaker(hours: Hours) -> None:
    breaker = make_breaker(hours)

    fail(breaker, 3)

    assert breaker.state is State.OPEN
    assert breaker.wait() == 5.0


def test_a_success_in_between_starts_the_count_anew(hours: Hours) -> None:
    breaker = make_breaker(hours)

    fail(breaker, 2)
    breaker.success()
    fail(breaker, 2)

    assert breaker.state is State.CLOSED


def test_one_probe_passes_when_the_time_is_over(hours: Hours) -> None:
    breaker = make_breaker(hours)
    fail(breaker, 3)

    hours.now += 5.0
    assert breaker.wait() == 0.0
    breaker.begin()

    assert breaker.state is State.HALF_OPEN
    assert breaker.wait() is None


def test_a_failed_probe_opens_for_twice_as_long_up_to_the_cap(hours: Hours) -> None:
    breaker = make_breaker(hours)
    fail(breaker, 3)
    waits = []

    for _ in range(6):
        hours.now += breaker.wait() or 0.0
        fail(breaker, 1)
        waits.append(breaker.wait())

    assert waits == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


def test_a_successful_probe_closes_and_resets_the_growth(hours: Hours) -> None:
    changes: list[State] = []
    breaker = make_breaker(hours, changes)
    fail(breaker, 3)
    hours.now += 5.0
    breaker.begin()
    breaker.success()
    fail(breaker, 3)

    assert breaker.wait() == 5.0
    assert changes == [State.OPEN, State.HALF_OPEN, State.CLOSED, State.OPEN]


def test_a_probe_that_told_nothing_may_be_tried_again_at_once(hours: Hours) -> None:
    breaker = make_breaker(hours)
    fail(breaker, 3)
    hours.now += 5.0
    breaker.begin()
    breaker.abandon()

    assert breaker.wait() == 0.0


async def test_the_gate_waits_out_a_pause(hours: Hours) -> None:
    gate = Gate(make_breaker(hours), timing=hours.timing)
    gate.pause(3_600.0)
    gate.pause(10.0)

    await gate.enter()

    assert hours.now == 4_600.0


async def test_the_gate_gives_up_at_the_deadline(hours: Hours) -> None:
    gate = Gate(make_breaker(hours), timing=hours.timing)
    gate.pause(3_600.0)

    with pytest.raises(Overdue):
        await gate.enter(deadline=1_100.0)
    assert hours.now == 1_100.0


async def test_an_expired_message_does_not_even_try(hours: Hours) -> None:
    gate = Gate(make_breaker(hours), timing=hours.timing)

    with pytest.raises(Overdue):
        await gate.enter(deadline=999.0)


async def test_everybody_else_waits_for_the_outcome_of_the_probe(hours: Hours) -> None:
    breaker = make_breaker(hours)
    gate = Gate(breaker, timing=hours.timing)
    fail(breaker, 3)
    entered: list[str] = []

    async def enter(name: str) -> None:
        await gate.enter()
        entered.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(enter("one"))
        group.create_task(enter("other"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(entered) == 1
        gate.leave(alive=True)
    assert sorted(entered) == ["one", "other"]


async def test_waiting_for_a_probe_ends_at_the_deadline(hours: Hours) -> None:
    breaker = make_breaker(hours)
    gate = Gate(breaker, timing=hours.timing)
    fail(breaker, 3)
    hours.now += 5.0
    breaker.begin()

    with pytest.raises(Overdue):
        await gate.enter(deadline=hours.now + 0.01)


async def test_the_rate_limit_spreads_messages() -> None:
    loop = asyncio.get_running_loop()
    gate = Gate(Breaker(), rate_per_sec=100.0, timing=Timing())
    began = loop.time()

    for _ in range(15):
        await gate.enter()
        gate.leave(alive=True)

    assert loop.time() - began >= 0.045  # ten at once, five more at 100 per second


async def test_a_rate_below_one_per_second_is_possible() -> None:
    gate = Gate(Breaker(), rate_per_sec=0.001, timing=Timing())
    await gate.enter()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await gate.enter()


async def test_a_lane_is_served_in_order_of_arrival() -> None:
    lanes, served = Lanes(), list[int]()

    async def use(number: int) -> None:
        async with lanes.hold("anna"):
            await asyncio.sleep(0.001 * (number % 3))
            served.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(use(number))

    assert served == list(range(10))
    assert len(lanes) == 0


async def test_lanes_do_not_wait_for_each_other() -> None:
    lanes = Lanes()

    async with lanes.hold("anna"), lanes.hold("bert"):
        assert len(lanes) == 2


async def test_a_lane_survives_somebody_who_gives_up_waiting() -> None:
    lanes = Lanes()

    async with lanes.hold("anna"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001), lanes.hold("anna"):
                pass
        assert len(lanes) == 1
    assert len(lanes) == 0
