"""RabbitMQ that dies, refuses, blocks, or was set up by somebody else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import aio_pika
import pytest

from gateway.broker.api import COMMANDS, BrokerUnavailable, Outcome, Publication, QueueSpec
from gateway.broker.rabbit import RabbitBroker
from gateway.settings.model import BrokerSection
from tests.servers.proxy import TcpProxy
from tests.servers.rabbit import RabbitServer

KEY = "v1.telegram.shop.message.received"
HELPDESK = QueueSpec(name="helpdesk", bind=("v1.*.*.message.#",))

QUEUE_ON_DISK_SECS = 2.0
"""RabbitMQ 3.10 writes the registration of a new quorum queue to disk half a second later (Ra's `names.dets`).

A SIGKILL before that leaves the queue without leader and without content, whatever it had confirmed.
"""


@asynccontextmanager
async def running(url: str, **options: object) -> AsyncIterator[RabbitBroker]:
    settings = BrokerSection(**({"url": url, "queues": (HELPDESK,), "publish_timeout_secs": 1.0} | options))  # type: ignore[arg-type]
    broker = RabbitBroker(settings, node="test")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(broker.run())
        try:
            yield broker
        finally:
            task.cancel()


def publication(number: int) -> Publication:
    return Publication(
        routing_key=KEY,
        body=b"{}",
        message_id=f"evt_{number}",
        method="message.received",
        timestamp=1_700_000_000,
        headers={},
    )


async def until(condition: Callable[[], bool], within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.02)


class Book:
    """What became of every publication."""

    def __init__(self) -> None:
        self.submitted: set[str] = set()
        self.final: Counter[str] = Counter()
        self.confirmed: set[str] = set()
        self.outcomes: Counter[Outcome] = Counter()

    def listen(self, batch: Sequence[Publication], outcome: Outcome) -> None:
        self.outcomes[outcome] += len(batch)
        if outcome is not Outcome.UNKNOWN:
            self.final.update(item.message_id for item in batch)
        if outcome is Outcome.CONFIRMED:
            self.confirmed.update(item.message_id for item in batch)

    async def publish(self, broker: RabbitBroker, enough: asyncio.Event) -> None:
        """Submit batches of twenty until told to stop."""
        number = 0
        while not enough.is_set():
            batch = [publication(number + step) for step in range(20)]
            number += 20
            self.submitted.update(item.message_id for item in batch)
            broker.submit(batch, self.listen)
            await asyncio.sleep(0.002)


async def drain(broker: RabbitBroker) -> set[str]:
    """Take everything out of the helpdesk's queue."""
    taken: set[str] = set()
    async with broker.consume("helpdesk", prefetch=200) as consumer:
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(1.0):
                    delivery = await anext(aiter(consumer))
                await consumer.ack(delivery)
                taken.add(delivery.message_id or "")
    return taken


@pytest.mark.slow
async def test_killed_broker_gives_every_publication_one_outcome_and_loses_no_confirmed_one(
    make_rabbit: Callable[[], RabbitServer],
) -> None:
    server, book, enough = make_rabbit(), Book(), asyncio.Event()
    async with running(server.url) as broker:
        assert await broker.wait_ready(30), broker.problem
        await asyncio.sleep(QUEUE_ON_DISK_SECS)
        async with asyncio.TaskGroup() as group:
            group.create_task(book.publish(broker, enough))
            await until(lambda: book.outcomes[Outcome.CONFIRMED] > 500)
            await asyncio.to_thread(server.kill)
            await until(lambda: not broker.ready)
            await until(lambda: book.outcomes[Outcome.REFUSED] > 0)
            await asyncio.to_thread(server.start)
            before = len(book.confirmed)
            await until(lambda: len(book.confirmed) > before, within=60)
            enough.set()
        await until(lambda: book.final.keys() == book.submitted)
        arrived = await drain(broker)

    assert set(book.final.values()) == {1}
    assert book.confirmed <= arrived


async def test_cut_connection_ends_consumers_and_reconnects(
    rabbit_server: RabbitServer, rabbit_url: str, make_proxy: Callable[[int], Awaitable[TcpProxy]]
) -> None:
    proxy = await make_proxy(rabbit_server.port)
    async with running(rabbit_url.replace(f":{rabbit_server.port}/", f":{proxy.port}/")) as broker:
        assert await broker.wait_ready(30), broker.problem
        async with broker.consume("helpdesk", prefetch=5) as consumer, broker.watch("#") as events:
            proxy.reset()
            for iterator in (consumer, events):
                with pytest.raises(BrokerUnavailable):
                    async with asyncio.timeout(10):
                        await anext(aiter(iterator))

        assert await broker.wait_ready(30), broker.problem
        assert await broker.publish(publication(1)) is Outcome.CONFIRMED
        assert await drain(broker) == {"evt_1"}


async def test_next_node_takes_the_commands_of_one_that_was_cut_off(
    rabbit_server: RabbitServer, rabbit_url: str, make_proxy: Callable[[int], Awaitable[TcpProxy]]
) -> None:
    proxy = await make_proxy(rabbit_server.port)
    async with (
        running(rabbit_url.replace(f":{rabbit_server.port}/", f":{proxy.port}/")) as one,
        running(rabbit_url) as other,
        asyncio.timeout(60),
    ):
        assert await one.wait_ready(30), one.problem
        assert await other.wait_ready(30), other.problem
        queue = await one.declare_channel("shop")
        async with one.consume(queue, prefetch=5) as first, other.consume(queue, prefetch=5) as second:
            for number in range(2):
                command = publication(number)
                command.exchange, command.routing_key = COMMANDS, "v1.shop.message.send"
                assert await other.publish(command) is Outcome.CONFIRMED
            held = [(await anext(aiter(first))).message_id for _ in range(2)]
            proxy.reset()
            taken = [(await anext(aiter(second))).message_id for _ in range(2)]

    assert held == taken == ["evt_0", "evt_1"]


async def test_network_that_passes_nothing_does_not_hold_up_closing(
    rabbit_server: RabbitServer, rabbit_url: str, make_proxy: Callable[[int], Awaitable[TcpProxy]]
) -> None:
    proxy, book = await make_proxy(rabbit_server.port), Book()
    async with running(rabbit_url.replace(f":{rabbit_server.port}/", f":{proxy.port}/")) as broker:
        assert await broker.wait_ready(30), broker.problem
        async with broker.consume("helpdesk", prefetch=5):
            proxy.stall()
            for number in range(30):  # more than the buffers of the sockets hold
                large = publication(number)
                large.body = bytes(1_000_000)
                broker.submit([large], book.listen)
            await asyncio.sleep(0.1)
        async with asyncio.timeout(15):
            await broker.close()

    await until(lambda: sum(book.final.values()) == 30)
    assert set(book.final.values()) == {1}
    assert book.outcomes[Outcome.LOST] == 30


async def test_wrong_password_is_said_without_showing_it(rabbit_server: RabbitServer) -> None:
    async with running(rabbit_server.url.replace(":guest@", ":s3cret@")) as broker:
        await until(lambda: broker.problem is not None and "refused" in broker.problem)

        assert broker.problem is not None
        assert "user name or password" in broker.problem
        assert "s3cret" not in broker.problem
        assert await broker.publish(publication(1)) is Outcome.REFUSED
        assert not await broker.wait_ready(0.1)


async def test_unknown_virtual_host_is_named(rabbit_server: RabbitServer) -> None:
    async with running(rabbit_server.url_of("nowhere")) as broker:
        await until(lambda: "nowhere" in (broker.problem or ""))


async def test_absent_server_is_named_with_its_address() -> None:
    async with running("amqp://guest:guest@127.0.0.1:9/") as broker:
        await until(lambda: "127.0.0.1:9" in (broker.problem or ""))


async def test_queue_with_other_arguments_is_a_fault_and_publishing_goes_on(rabbit_url: str) -> None:
    async with running(rabbit_url) as broker:
        assert await broker.wait_ready(30), broker.problem

    limited = QueueSpec(name="helpdesk", bind=HELPDESK.bind, arguments={"x-max-length": 5})
    async with running(rabbit_url, queues=(limited, QueueSpec(name="second", bind=("v1.#",)))) as broker:
        assert await broker.wait_ready(30), broker.problem
        [fault] = broker.faults
        assert "helpdesk" in fault
        assert "x-max-length" in fault
        assert await broker.publish(publication(1)) is Outcome.CONFIRMED
        assert await drain(broker) == {"evt_1"}
        async with broker.consume("second", prefetch=1) as consumer, asyncio.timeout(10):
            assert (await anext(aiter(consumer))).message_id == "evt_1"


async def test_queue_with_arguments_nobody_knows_harms_only_itself(rabbit_url: str) -> None:
    odd = (
        QueueSpec(name="amq.reserved", bind=("v1.#",)),
        QueueSpec(name="wrong-type", bind=("v1.#",), type="heap"),
        QueueSpec(name="wrong-value", bind=("v1.#",), arguments={"x-message-ttl": "soon"}),
        # RabbitMQ 3.10 crashes on this one and closes the whole connection.
        QueueSpec(name="wrong-age", bind=("v1.#",), type="stream", arguments={"x-max-age": "soon"}),
    )
    async with running(rabbit_url, queues=(*odd, HELPDESK)) as broker:
        assert await broker.wait_ready(30), broker.problem
        assert len(broker.faults) == len(odd)
        for spec in odd:
            assert any(f"{spec.name} cannot be declared" in fault for fault in broker.faults)
        assert await broker.publish(publication(1)) is Outcome.CONFIRMED
        assert await drain(broker) == {"evt_1"}


async def test_exchange_of_another_type_is_a_fault_and_publishing_goes_on(rabbit_url: str) -> None:
    connection = await aio_pika.connect(rabbit_url)
    await (await connection.channel()).declare_exchange("gw.dlx", "fanout", durable=True)
    await connection.close()

    async with running(rabbit_url) as broker:
        assert await broker.wait_ready(30), broker.problem
        assert any("gw.dlx" in fault for fault in broker.faults)
        assert await broker.publish(publication(1)) is Outcome.CONFIRMED


async def test_deleted_queue_ends_its_consumer(rabbit_url: str) -> None:
    async with running(rabbit_url) as broker:
        assert await broker.wait_ready(30), broker.problem
        async with broker.consume("helpdesk", prefetch=1) as consumer, asyncio.timeout(10):
            connection = await aio_pika.connect(rabbit_url)
            await (await connection.channel()).queue_delete("helpdesk")
            await connection.close()
            with pytest.raises(BrokerUnavailable, match="helpdesk"):
                await anext(aiter(consumer))


async def test_deleted_exchange_is_declared_again(rabbit_url: str) -> None:
    async with running(rabbit_url) as broker:
        assert await broker.wait_ready(30), broker.problem
        connection = await aio_pika.connect(rabbit_url)
        await (await connection.channel()).exchange_delete("gw.events")
        await connection.close()

        assert await broker.publish(publication(1)) is not Outcome.CONFIRMED
        await until(lambda: broker.ready)
        assert await broker.publish(publication(2)) is Outcome.CONFIRMED


async def test_history_is_refused_with_what_to_do_when_none_is_kept(rabbit_url: str) -> None:
    async with running(rabbit_url) as broker:
        assert await broker.wait_ready(30), broker.problem
        with pytest.raises(ValueError, match="set broker"):
            broker.watch("#", from_start=True)


async def test_connections_are_named_after_the_node(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    async with running(rabbit_url) as broker:
        assert await broker.wait_ready(30), broker.problem
        vhost = urlsplit(rabbit_url).path[1:]

        names = rabbit_server.evaluate(
            '[binary_to_list(element(3, lists:keyfind(<<"connection_name">>, 1, P))) || [{vhost, V},'
            " {client_properties, P}] <- rabbit_networking:connection_info_all([vhost, client_properties]),"
            f' V =:= <<"{vhost}">>]'
        )

    assert names == '["omnigate:test"]'


async def test_reason_why_rabbitmq_closed_only_the_publishing_channel_is_told(rabbit_url: str) -> None:
    problems: set[str | None] = set()
    async with running(rabbit_url) as broker:
        assert await broker.wait_ready(30), broker.problem
        nowhere = publication(1)
        nowhere.exchange = "no-such-exchange"

        def note() -> bool:
            problems.add(broker.problem)
            return any("no-such-exchange" in (problem or "") for problem in problems)

        assert await broker.publish(nowhere) is Outcome.LOST
        await until(note)
        assert await broker.wait_ready(30), broker.problem
        assert await broker.publish(publication(2)) is Outcome.CONFIRMED


@pytest.mark.slow
async def test_memory_alarm_makes_it_not_ready_and_what_was_sent_arrives_once_it_is_over(
    make_rabbit: Callable[[], RabbitServer],
) -> None:
    server, book = make_rabbit(), Book()
    async with running(server.url) as broker:
        assert await broker.wait_ready(30), broker.problem
        queue = await broker.declare_channel("shop")
        assert await broker.publish(publication(0)) is Outcome.CONFIRMED
        await asyncio.to_thread(server.set_alarm, on=True)
        broker.submit([publication(1)], book.listen)
        await until(lambda: not broker.ready)
        assert "alarm" in (broker.problem or "")
        await until(lambda: book.outcomes[Outcome.UNKNOWN] == 1)
        assert not book.final
        async with broker.consume("helpdesk", prefetch=1) as consumer, asyncio.timeout(5):
            await consumer.ack(await anext(aiter(consumer)))  # consumers do not suffer
        assert await broker.declare_channel("other") == queue.replace("shop", "other")

        await asyncio.to_thread(server.set_alarm, on=False)
        await until(lambda: broker.ready)
        await until(lambda: book.outcomes[Outcome.CONFIRMED] == 1)
        assert await drain(broker) == {"evt_1"}


async def test_idle_broker_closes_without_waiting(rabbit_url: str) -> None:
    async with running(rabbit_url) as broker:
        assert await broker.wait_ready(30), broker.problem
        async with asyncio.timeout(5):
            await broker.close()
        assert broker.problem == "closed"
