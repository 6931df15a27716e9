"""The embedded broker across processes, restarts, deaths and full disks."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from gateway.broker.api import COMMANDS, BrokerUnavailable, NoSuchQueue, Outcome, Publication, QueueSpec
from gateway.broker.embedded import FILE, LIVES, EmbeddedBroker
from gateway.broker.embedded_schema import SCHEMA
from gateway.broker.embedded_store import Store
from gateway.settings.model import BrokerSection

KEY = "v1.telegram.shop.message.received"
HELPDESK = QueueSpec(name="helpdesk", bind=("v1.*.*.message.#",))


class Clock:
    """Wall clock that a test can move."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@asynccontextmanager
async def running(folder: Path, *queues: QueueSpec, **options: object) -> AsyncIterator[EmbeddedBroker]:
    settings = BrokerSection(queues=queues or (HELPDESK,), publish_timeout_secs=0.3, retain_hours=1.0)
    broker = EmbeddedBroker(settings, data_dir=folder, node="test", **options)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(broker.run())
        try:
            assert await broker.wait_ready(10), broker.problem
            yield broker
        finally:
            await broker.close()
            task.cancel()


def publication(number: int, **fields: object) -> Publication:
    values: dict[str, object] = {
        "routing_key": KEY,
        "body": b"{}",
        "message_id": f"evt_{number}",
        "method": "message.received",
        "timestamp": 1_700_000_000,
        "headers": {},
    }
    return Publication(**(values | fields))  # type: ignore[arg-type]


async def first(broker: EmbeddedBroker, queue: str) -> str | None:
    async with broker.consume(queue, prefetch=1) as consumer, asyncio.timeout(10):
        delivery = await anext(aiter(consumer))
        await consumer.ack(delivery)
        return delivery.message_id


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


def count(folder: Path, table: str) -> int:
    db = sqlite3.connect(folder / FILE)
    try:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        db.close()


PUBLISHER = """
    import asyncio, sys
    from pathlib import Path
    from tests.integration.test_embedded_broker import publication, running

    async def main():
        async with running(Path(sys.argv[1])) as broker:
            for number in range(int(sys.argv[2])):
                print(await broker.publish(publication(number)), flush=True)

    asyncio.run(main())
"""
HOLDER = """
    import asyncio, sys
    from pathlib import Path
    from tests.integration.test_embedded_broker import running

    async def main():
        async with running(Path(sys.argv[1]), lease=0.6) as broker:
            async with broker.consume(sys.argv[2], prefetch=1) as consumer:
                print((await anext(aiter(consumer))).message_id, flush=True)
                await asyncio.Event().wait()

    asyncio.run(main())
"""


async def process(script: str, *arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)), stdout=asyncio.subprocess.PIPE
    )


async def test_consumer_and_onlooker_see_what_another_process_publishes(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as broker,
        broker.watch("#") as events,
        broker.consume("helpdesk", prefetch=1) as consumer,
        asyncio.timeout(30),
    ):
        other = await process(PUBLISHER, tmp_path, 3)
        seen = [(await anext(events)).message_id for _ in range(3)]
        taken = []
        async for delivery in consumer:
            await consumer.ack(delivery)
            taken.append(delivery.message_id)
            if len(taken) == 3:
                break
        assert await other.wait() == 0

    assert seen == taken == ["evt_0", "evt_1", "evt_2"]


async def holder(folder: Path, queue: str) -> asyncio.subprocess.Process:
    """Start a process that holds the message evt_1, which is in the queue."""
    other = await process(HOLDER, folder, queue)
    assert other.stdout is not None
    assert await other.stdout.readline() == b"evt_1\n"
    return other


async def test_message_held_by_a_process_that_hangs_comes_again_after_its_lease(tmp_path: Path) -> None:
    async with running(tmp_path, lease=0.6) as broker, asyncio.timeout(30):
        await broker.publish(publication(1))
        other = await holder(tmp_path, "helpdesk")
        async with broker.consume("helpdesk", prefetch=1) as consumer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):  # longer than the lease: a living process keeps what it holds
                    await anext(aiter(consumer))
            other.send_signal(signal.SIGSTOP)
            delivery = await anext(aiter(consumer))
        other.kill()
        await other.wait()

    assert delivery.message_id == "evt_1"
    assert delivery.redelivered


async def test_message_held_by_a_killed_process_comes_again_without_waiting_for_a_lease(tmp_path: Path) -> None:
    async with running(tmp_path, lease=3600.0) as broker, asyncio.timeout(30):
        await broker.publish(publication(1))
        other = await holder(tmp_path, "helpdesk")
        other.kill()
        await other.wait()
        assert await first(broker, "helpdesk") == "evt_1"
        assert count(tmp_path, "owners") == 1
    assert list((tmp_path / LIVES).iterdir()) == []


def command(number: int) -> Publication:
    return publication(number, exchange=COMMANDS, routing_key="v1.shop.message.send")


async def test_next_process_takes_the_commands_of_one_that_hangs_after_its_lease(tmp_path: Path) -> None:
    async with running(tmp_path, lease=0.6) as broker, asyncio.timeout(30):
        queue = await broker.declare_channel("shop")
        await broker.publish(command(1))
        other = await holder(tmp_path, queue)
        async with broker.consume(queue, prefetch=5) as consumer:
            await broker.publish(command(2))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):  # longer than the lease: while that one lives, it is its turn
                    await anext(aiter(consumer))
            other.send_signal(signal.SIGSTOP)
            deliveries = [await anext(aiter(consumer)) for _ in range(2)]
        other.kill()
        await other.wait()

    assert [delivery.message_id for delivery in deliveries] == ["evt_1", "evt_2"]


async def test_next_process_takes_the_commands_of_a_killed_one_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        queue = await broker.declare_channel("shop")
        await broker.publish(command(1))
    other = await holder(tmp_path, queue)
    other.kill()
    await other.wait()
    async with running(tmp_path, lease=3600.0) as broker, asyncio.timeout(30):  # as after `kill -9` and a restart
        await broker.publish(command(2))
        async with broker.consume(queue, prefetch=5) as consumer:
            deliveries = [await anext(aiter(consumer)) for _ in range(2)]
    assert [delivery.message_id for delivery in deliveries] == ["evt_1", "evt_2"]


async def test_where_processes_cannot_lock_files_the_lease_tells_who_is_dead(tmp_path: Path) -> None:
    (tmp_path / LIVES).write_text("in the way")
    async with running(tmp_path, lease=0.6) as broker, asyncio.timeout(30):
        await broker.publish(publication(1))
        other = await holder(tmp_path, "helpdesk")
        other.kill()
        await other.wait()
        assert await first(broker, "helpdesk") == "evt_1"


async def test_process_that_was_silent_for_too_long_has_lost_its_turn(tmp_path: Path) -> None:
    clock = Clock()
    async with (
        running(tmp_path, lease=60.0) as slow,
        running(tmp_path, lease=60.0, clock=clock) as other,
        asyncio.timeout(20),
    ):
        queue = await slow.declare_channel("shop")
        async with slow.consume(queue, prefetch=1) as first, other.consume(queue, prefetch=1) as second:
            clock.ahead = 120.0  # for the other one that process has been silent for two minutes
            await other.publish(command(1))
            await second.ack(await anext(aiter(second)))
            clock.ahead = 0.0
            await slow.publish(command(2))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await anext(aiter(first))
            assert (await anext(aiter(second))).message_id == "evt_2"


def test_turn_that_could_not_be_given_back_is_given_back_with_the_next_sign_of_life() -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        store = Store("process", lease=60.0, clock=time.time)
        store.beat(db)
        store.turns.line_up(db, "gw.out.shop", "first")
        store.turns.left.add("first")
        assert not store.turns.has(db, "gw.out.shop", "second")

        store.beat(db)

        assert store.turns.has(db, "gw.out.shop", "second")


async def test_acknowledgement_after_the_lease_ran_out_says_so(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, lease=60.0) as slow, running(tmp_path, lease=60.0, clock=clock) as other:
        await slow.publish(publication(1))
        async with slow.consume("helpdesk", prefetch=1) as consumer, asyncio.timeout(10):
            held = await anext(aiter(consumer))
            clock.ahead = 120.0  # for the other one this process has been silent for two minutes
            assert await first(other, "helpdesk") == "evt_1"
            with pytest.raises(BrokerUnavailable, match="silent"):
                await consumer.ack(held)


async def test_confirmed_messages_survive_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        assert await broker.publish(publication(1)) is Outcome.CONFIRMED

    async with running(tmp_path) as broker:
        assert await first(broker, "helpdesk") == "evt_1"


async def test_cancelled_wait_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as broker, broker.consume("helpdesk", prefetch=1) as consumer:
        for number in range(20):
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(anext(aiter(consumer)))
                await asyncio.sleep(0)
                await broker.publish(publication(number))
                waiting.cancel()
            if not waiting.cancelled():
                await consumer.ack(waiting.result())
                continue
            async with asyncio.timeout(5):
                delivery = await anext(aiter(consumer))
            assert delivery.message_id == f"evt_{number}"
            await consumer.ack(delivery)


async def test_events_stay_for_the_retention_and_acknowledged_commands_go(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock=clock, sweep=0.0, lease=0.3) as broker:
        queue = await broker.declare_channel("shop")
        await broker.publish(publication(1))
        await broker.publish(publication(2))
        await broker.publish(publication(3, exchange=COMMANDS, routing_key="v1.shop.message.send"))
        assert await first(broker, "helpdesk") == "evt_1"
        assert await first(broker, queue) == "evt_3"
        assert count(tmp_path, "messages") == 2

        clock.ahead = 7200.0
        await until(lambda: count(tmp_path, "messages") == 1)

        assert await first(broker, "helpdesk") == "evt_2"  # what a queue holds outlives the retention
        await until(lambda: count(tmp_path, "messages") == 0)


async def test_queue_beyond_its_length_loses_the_oldest(tmp_path: Path) -> None:
    short = QueueSpec(name="short", bind=("v1.#",), arguments={"x-max-length": 2})
    async with running(tmp_path, short, sweep=0.0, lease=0.3) as broker:
        for number in range(5):
            await broker.publish(publication(number))
        await until(lambda: count(tmp_path, "entries") == 2)

        assert await first(broker, "short") == "evt_3"


async def test_message_older_than_the_time_to_live_of_its_queue_is_gone(tmp_path: Path) -> None:
    brief = QueueSpec(name="brief", bind=("v1.#",), arguments={"x-message-ttl": 1})
    async with running(tmp_path, brief) as broker:
        await broker.publish(publication(1))
        await until(lambda: count(tmp_path, "entries") == 0)


async def test_arguments_that_mean_nothing_here_are_named(tmp_path: Path) -> None:
    odd = QueueSpec(name="odd", bind=("v1.#",), arguments={"x-max-priority": 5})
    wrong = QueueSpec(name="wrong", bind=("v1.#",), arguments={"x-message-ttl": "soon"})

    async with running(tmp_path, odd, wrong) as broker:
        assert any("odd" in fault and "x-max-priority" in fault for fault in broker.faults)
        assert any("wrong" in fault and "x-message-ttl" in fault for fault in broker.faults)
        await broker.publish(publication(1))
        assert await first(broker, "wrong") == "evt_1"


async def test_binding_taken_out_of_the_configuration_is_gone(tmp_path: Path) -> None:
    async with running(tmp_path, QueueSpec(name="one", bind=("v1.#",))) as broker:
        await broker.publish(publication(1))
    async with running(tmp_path, QueueSpec(name="one", bind=("v2.#",)), HELPDESK) as broker:
        await broker.publish(publication(2))
        assert await first(broker, "one") == "evt_1"
        assert await first(broker, "helpdesk") == "evt_2"
        assert count(tmp_path, "entries") == 0


async def test_file_locked_by_another_program_is_unknown_first_and_confirmed_later(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []

    def listen(_: Sequence[Publication], outcome: Outcome) -> None:
        outcomes.append(outcome)

    async with running(tmp_path) as broker:
        blocker = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        broker.submit([publication(1)], listen)
        await until(lambda: outcomes == [Outcome.UNKNOWN])
        blocker.execute("ROLLBACK")
        blocker.close()
        await until(lambda: outcomes == [Outcome.UNKNOWN, Outcome.CONFIRMED])


async def test_full_disk_refuses_and_recovers_by_itself(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await broker.publish(publication(1))
        station = broker._station
        assert station is not None
        await station.write(lambda db: db.execute("PRAGMA max_page_count = 40").fetchall())

        assert await broker.publish(publication(2, body=b"x" * 1_000_000)) is Outcome.REFUSED
        assert not broker.ready or broker.problem is None  # it may have recovered already
        assert await broker.publish(publication(3)) is Outcome.CONFIRMED
        assert await broker.wait_ready(5), broker.problem


async def test_folder_that_is_no_folder_is_named_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    broker = EmbeddedBroker(BrokerSection(), data_dir=tmp_path / "data", node="test")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(broker.run())
        await until(lambda: "broker.db" in (broker.problem or ""))
        assert await broker.publish(publication(1)) is Outcome.REFUSED
        (tmp_path / "data").unlink()
        assert await broker.wait_ready(10), broker.problem
        task.cancel()


async def test_answers_leave_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        before = count(tmp_path, "queues")
        with pytest.raises(NoSuchQueue):
            await broker.call("v1.nobody.message.send", b"{}", method="message.send", timeout=5)
        with pytest.raises(TimeoutError):
            await broker.call("v1._.gateway.ping", b"{}", method="gateway.ping", timeout=0.2)

        await until(lambda: count(tmp_path, "queues") == before)


async def test_cancelled_run_gives_every_publication_its_outcome(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    broker = EmbeddedBroker(BrokerSection(), data_dir=tmp_path, node="test")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(broker.run())
        assert await broker.wait_ready(10)
        for number in range(10):
            broker.submit([publication(number)], lambda _, outcome: outcomes.append(outcome))
        task.cancel()

    assert len(outcomes) == 10
    assert set(outcomes) <= {Outcome.LOST, Outcome.REFUSED, Outcome.CONFIRMED}
