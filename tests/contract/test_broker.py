"""Every broker keeps the same promises: RabbitMQ and the embedded one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.broker.api import (
    COMMANDS,
    RPC_QUEUE,
    UNROUTED,
    Broker,
    BrokerUnavailable,
    Consumer,
    Delivery,
    NoSuchQueue,
    Outcome,
    Publication,
    QueueSpec,
)
from gateway.broker.connect import make_broker
from gateway.broker.topology import DELIVERY_LIMIT
from gateway.settings.model import BrokerSection

Opened = Callable[[], AbstractAsyncContextManager[Broker]]

KEY = "v1.telegram.shop.message.received"
QUEUES = (
    QueueSpec(name="helpdesk", bind=("v1.*.*.message.#",)),
    QueueSpec(name="twice", bind=("v1.#", "v1.telegram.#")),
)


@pytest.fixture(params=["embedded", "rabbitmq"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Open a connected broker; several may be open at the same time, on the same messages."""
    embedded = request.param == "embedded"
    url = "embedded:" if embedded else request.getfixturevalue("rabbit_url")
    settings = BrokerSection(url=url, queues=QUEUES, history_hours=0 if embedded else 1)

    @asynccontextmanager
    async def open_one() -> AsyncIterator[Broker]:
        broker = make_broker(settings, tmp_path, "test")
        async with asyncio.TaskGroup() as group:
            running = group.create_task(broker.run())
            try:
                assert await broker.wait_ready(30), broker.problem
                yield broker
            finally:
                await broker.close()
                running.cancel()

    return open_one


@pytest.fixture
async def broker(opened: Opened) -> AsyncIterator[Broker]:
    """One connected broker."""
    async with opened() as one:
        yield one


def publication(number: int = 0, key: str = KEY, **fields: object) -> Publication:
    values: dict[str, object] = {
        "routing_key": key,
        "body": b'{"n":%d}' % number,
        "message_id": f"evt_{number}",
        "method": "message.received",
        "timestamp": 1_700_000_000,
        "headers": {"channel_id": "shop", "seq": 1 << 50, "name": "Zoë"},
    }
    return Publication(**(values | fields))  # type: ignore[arg-type]


def command(channel: str, **fields: object) -> Publication:
    return publication(key=f"v1.{channel}.message.send", exchange=COMMANDS, **fields)


async def take(consumer: Consumer, count: int = 1, within: float = 10.0) -> list[Delivery]:
    """Take and acknowledge `count` messages."""
    taken: list[Delivery] = []
    async with asyncio.timeout(within):
        async for delivery in consumer:
            await consumer.ack(delivery)
            taken.append(delivery)
            if len(taken) == count:
                break
    return taken


async def nothing_more(consumer: Consumer, wait: float = 0.3) -> bool:
    """Tell whether nothing arrives for a moment."""
    try:
        async with asyncio.timeout(wait):
            async for _ in consumer:
                return False
    except TimeoutError:
        return True
    return False


async def publish_all(broker: Broker, batch: Sequence[Publication]) -> list[tuple[str, Outcome]]:
    """Submit a batch and wait until each publication has its final outcome."""
    outcomes: list[tuple[str, Outcome]] = []
    done = asyncio.Event()

    def listen(items: Sequence[Publication], outcome: Outcome) -> None:
        outcomes.extend((item.message_id, outcome) for item in items if outcome is not Outcome.UNKNOWN)
        if len(outcomes) >= len(batch):
            done.set()

    broker.submit(batch, listen)
    assert not outcomes, "the listener was called from inside submit"
    async with asyncio.timeout(30):
        await done.wait()
    return outcomes


async def test_confirmed_event_is_in_the_bound_queue_with_all_it_carries(broker: Broker) -> None:
    item = publication(7, reply_to="somewhere", correlation_id="c-1")

    assert await broker.publish(item) is Outcome.CONFIRMED

    async with broker.consume("helpdesk", prefetch=10) as consumer:
        [delivery] = await take(consumer)
    assert delivery.queue == "helpdesk"
    assert delivery.routing_key == KEY
    assert delivery.body == item.body
    assert (delivery.message_id, delivery.method) == ("evt_7", "message.received")
    assert (delivery.reply_to, delivery.correlation_id) == ("somewhere", "c-1")
    assert delivery.headers == item.headers
    assert not delivery.redelivered


async def test_large_body_arrives_unchanged(broker: Broker) -> None:
    body = bytes(range(256)) * 4096

    assert await broker.publish(publication(body=body)) is Outcome.CONFIRMED

    async with broker.consume("helpdesk", prefetch=1) as consumer:
        [delivery] = await take(consumer)
    assert delivery.body == body


async def test_order_is_kept_over_many_batches_and_each_is_confirmed_once(broker: Broker) -> None:
    batches = [[publication(number) for number in range(start, start + 100)] for start in range(0, 1000, 100)]
    expected = [f"evt_{number}" for number in range(1000)]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(publish_all(broker, batch)) for batch in batches]

    assert [outcome for task in tasks for outcome in task.result()] == [(i, Outcome.CONFIRMED) for i in expected]
    async with broker.consume("helpdesk", prefetch=50) as consumer:
        deliveries = await take(consumer, 1000, within=60)
    assert [delivery.message_id for delivery in deliveries] == expected


async def test_many_single_publishes_in_one_turn_of_the_loop_are_all_confirmed(broker: Broker) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(broker.publish(publication(number))) for number in range(100)]

    assert {task.result() for task in tasks} == {Outcome.CONFIRMED}


async def test_event_goes_once_to_each_queue_with_a_matching_binding(broker: Broker) -> None:
    assert await broker.publish(publication()) is Outcome.CONFIRMED

    for queue in ("helpdesk", "twice"):
        async with broker.consume(queue, prefetch=10) as consumer:
            await take(consumer)
            assert await nothing_more(consumer)


async def test_event_that_no_queue_is_bound_for_is_kept_as_unrouted(broker: Broker) -> None:
    async with broker.watch("#"):  # an onlooker is not a consumer
        assert await broker.publish(publication(key="v2.other")) is Outcome.CONFIRMED

    async with broker.consume(UNROUTED, prefetch=1) as consumer:
        [delivery] = await take(consumer)
    assert delivery.routing_key == "v2.other"


async def test_command_for_nobody_is_refused(broker: Broker) -> None:
    assert await broker.publish(command("nobody")) is Outcome.REFUSED
    assert await broker.publish(publication(key="no-such-queue", exchange="")) is Outcome.REFUSED


async def test_refused_and_confirmed_of_one_batch_are_told_apart(broker: Broker) -> None:
    good, bad = publication(1), command("nobody", message_id="evt_2")

    outcomes = await publish_all(broker, [good, bad, publication(3)])

    assert dict(outcomes) == {"evt_1": Outcome.CONFIRMED, "evt_2": Outcome.REFUSED, "evt_3": Outcome.CONFIRMED}


async def test_nothing_is_accepted_before_run_and_after_close(opened: Opened) -> None:
    async with opened() as broker:
        await broker.close()

        assert await broker.publish(publication()) is Outcome.REFUSED
        assert not broker.ready
        assert broker.problem


async def test_requeued_message_comes_again_marked_as_redelivered(broker: Broker) -> None:
    await broker.publish(publication())

    async with broker.consume("helpdesk", prefetch=1) as consumer, asyncio.timeout(10):
        first = await anext(aiter(consumer))
        await consumer.nack(first, requeue=True)
        second = await anext(aiter(consumer))
        await consumer.ack(second)

    assert (first.redelivered, second.redelivered) == (False, True)
    assert first.message_id == second.message_id


async def test_unacknowledged_message_comes_again_after_its_consumer_left(broker: Broker) -> None:
    await broker.publish(publication())

    async with broker.consume("helpdesk", prefetch=1) as consumer, asyncio.timeout(10):
        await anext(aiter(consumer))
    async with broker.consume("helpdesk", prefetch=1) as consumer:
        [delivery] = await take(consumer)

    assert delivery.redelivered


async def test_acknowledged_message_is_gone(broker: Broker) -> None:
    await broker.publish(publication())

    async with broker.consume("helpdesk", prefetch=1) as consumer:
        await take(consumer)
    async with broker.consume("helpdesk", prefetch=1) as consumer:
        assert await nothing_more(consumer)


async def test_prefetch_bounds_what_is_unacknowledged(broker: Broker) -> None:
    await publish_all(broker, [publication(number) for number in range(5)])

    async with broker.consume("helpdesk", prefetch=2) as consumer, asyncio.timeout(10):
        held = [await anext(aiter(consumer)) for _ in range(2)]
        assert await nothing_more(consumer)
        await consumer.ack(held[0])
        third = await anext(aiter(consumer))

    assert third.message_id == "evt_2"


async def test_two_consumers_share_a_queue(opened: Opened) -> None:
    async with (
        opened() as one,
        opened() as other,
        one.consume("helpdesk", prefetch=1) as first,
        other.consume("helpdesk", prefetch=1) as second,
        asyncio.timeout(10),
    ):
        await publish_all(one, [publication(number) for number in range(2)])
        got = {(await anext(aiter(consumer))).message_id for consumer in (first, second)}

    assert got == {"evt_0", "evt_1"}


@pytest.mark.parametrize("processes", ["one", "two"])
async def test_commands_go_to_the_first_consumer_and_once_it_left_to_the_second(opened: Opened, processes: str) -> None:
    async with opened() as one, opened() as other, AsyncExitStack() as stack, asyncio.timeout(30):
        queue = await one.declare_channel("shop")
        first = await stack.enter_async_context(one.consume(queue, prefetch=1))
        async with (one if processes == "one" else other).consume(queue, prefetch=10) as second:
            await publish_all(other, [command("shop", message_id=f"evt_{number}") for number in range(4)])
            assert [delivery.message_id for delivery in await take(first, 2)] == ["evt_0", "evt_1"]
            held = await anext(aiter(first))
            assert await nothing_more(second)
            await stack.aclose()
            rest = await take(second, 2)

    assert held.message_id == "evt_2"
    assert [(delivery.message_id, delivery.redelivered) for delivery in rest] == [("evt_2", True), ("evt_3", False)]


async def test_requests_to_the_gateway_itself_go_to_one_consumer(opened: Opened) -> None:
    async with (
        opened() as one,
        opened() as other,
        one.consume(RPC_QUEUE, prefetch=1) as first,
        other.consume(RPC_QUEUE, prefetch=1) as second,
    ):
        requests = [publication(n, key="v1._.gateway.ping", exchange=COMMANDS) for n in range(3)]
        await publish_all(one, requests)
        assert len(await take(first, 3)) == 3
        assert await nothing_more(second)


async def test_command_is_a_dead_letter_after_the_delivery_limit(broker: Broker) -> None:
    queue = await broker.declare_channel("shop")
    assert await broker.publish(command("shop")) is Outcome.CONFIRMED
    deliveries = 0

    async with broker.consume(queue, prefetch=1) as consumer, broker.consume("gw.dead.send", prefetch=1) as dead:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            buried = group.create_task(take(dead))
            while deliveries <= DELIVERY_LIMIT:
                await consumer.nack(await anext(aiter(consumer)), requeue=True)
                deliveries += 1
            [letter] = await buried
        assert await nothing_more(consumer)

    assert letter.routing_key == "send.shop"
    assert letter.message_id == "evt_0"
    assert letter.headers["x-first-death-queue"] == queue
    assert letter.headers["x-first-death-reason"] == "delivery_limit"
    assert letter.headers["channel_id"] == "shop"


async def test_rejected_command_is_a_dead_letter_at_once(broker: Broker) -> None:
    queue = await broker.declare_channel("shop")
    await broker.publish(command("shop"))

    async with broker.consume(queue, prefetch=1) as consumer, asyncio.timeout(10):
        await consumer.nack(await anext(aiter(consumer)), requeue=False)
    async with broker.consume("gw.dead.send", prefetch=1) as dead:
        [letter] = await take(dead)

    assert letter.headers["x-first-death-reason"] == "rejected"


async def test_expired_command_is_a_dead_letter(broker: Broker) -> None:
    queue = await broker.declare_channel("shop")
    assert await broker.publish(command("shop", expiration_ms=1)) is Outcome.CONFIRMED
    await asyncio.sleep(0.05)

    async with broker.consume(queue, prefetch=1) as consumer, broker.consume("gw.dead.send", prefetch=1) as dead:
        [letter] = await take(dead)
        assert await nothing_more(consumer)

    assert letter.headers["x-first-death-reason"] == "expired"


async def answer(broker: Broker, queue: str, body: bytes, count: int = 1) -> None:
    async with broker.consume(queue, prefetch=10) as consumer:
        answered = 0
        async for request in consumer:
            assert request.reply_to is not None
            reply = publication(
                key=request.reply_to, exchange="", body=body, correlation_id=request.correlation_id, method=""
            )
            assert await broker.publish(reply) is Outcome.CONFIRMED
            await consumer.ack(request)
            answered += 1
            if answered == count:
                return


async def test_call_returns_the_answer_of_another_process(opened: Opened) -> None:
    async with opened() as gateway, opened() as client:
        queue = await gateway.declare_channel("shop")
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(answer(gateway, queue, b'{"result":1}', count=3))
            for _ in range(3):
                got = await client.call("v1.shop.message.send", b"{}", method="message.send", timeout=10)
                assert got == b'{"result":1}'


async def test_call_without_a_channel_reaches_the_rpc_queue(broker: Broker) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(answer(broker, RPC_QUEUE, b"pong"))
        assert await broker.call("v1._.gateway.ping", b"{}", method="gateway.ping", timeout=10) == b"pong"


async def test_call_of_an_unknown_channel_fails_at_once(broker: Broker) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(NoSuchQueue, match="nobody"):
            await broker.call("v1.nobody.message.send", b"{}", method="message.send", timeout=60)


async def test_call_that_nobody_answers_times_out_and_is_not_carried_out_later(broker: Broker) -> None:
    queue = await broker.declare_channel("shop")

    with pytest.raises(TimeoutError):
        await broker.call("v1.shop.message.send", b"{}", method="message.send", timeout=0.5)

    await asyncio.sleep(0.1)
    async with broker.consume(queue, prefetch=1) as consumer:
        assert await nothing_more(consumer)


async def test_watch_shows_matching_events_from_any_process_in_order_and_takes_nothing(opened: Opened) -> None:
    async with opened() as gateway, opened() as onlooker:
        async with onlooker.watch("v1.*.shop.message.*") as events, asyncio.timeout(10):
            await publish_all(
                gateway,
                [publication(1), publication(2, key="v1.telegram.other.message.received"), publication(3)],
            )
            seen = [(await anext(events)).message_id for _ in range(2)]
        async with gateway.consume("helpdesk", prefetch=5) as consumer:
            taken = await take(consumer, 3)

    assert seen == ["evt_1", "evt_3"]
    assert len(taken) == 3


async def test_watch_does_not_show_what_was_before_it(broker: Broker) -> None:
    await broker.publish(publication(1))

    async with broker.watch("#") as events, asyncio.timeout(10):
        await broker.publish(publication(2))
        assert (await anext(events)).message_id == "evt_2"


async def test_watch_from_start_shows_history_then_goes_on(broker: Broker) -> None:
    await publish_all(broker, [publication(1), publication(2, key="v1.telegram.other.message.received")])
    async with broker.consume("helpdesk", prefetch=5) as consumer:
        await take(consumer, 2)

    async with broker.watch("v1.*.shop.#", from_start=True) as events, asyncio.timeout(10):
        assert (await anext(events)).message_id == "evt_1"
        await broker.publish(publication(3))
        assert (await anext(events)).message_id == "evt_3"


async def test_declaring_twice_changes_nothing(opened: Opened) -> None:
    async with opened() as broker:
        assert await broker.declare_channel("shop") == await broker.declare_channel("shop") == "gw.out.shop"
        await broker.publish(command("shop"))
        assert broker.faults == ()

    async with opened() as broker:
        await broker.declare_channel("shop")
        assert broker.faults == ()
        async with broker.consume("gw.out.shop", prefetch=1) as consumer:
            assert len(await take(consumer)) == 1


async def test_consuming_a_queue_that_is_not_there_is_an_error(broker: Broker) -> None:
    with pytest.raises(BrokerUnavailable, match="no-such"):
        async with broker.consume("no-such", prefetch=1):
            pass


async def test_consumer_ends_with_an_error_when_the_broker_is_closed(broker: Broker) -> None:
    await broker.publish(publication())

    async with broker.consume("helpdesk", prefetch=1) as consumer, asyncio.timeout(10):
        held = await anext(aiter(consumer))
        await broker.close()
        with pytest.raises(BrokerUnavailable):
            await anext(aiter(consumer))
        with pytest.raises(BrokerUnavailable):
            await consumer.ack(held)
