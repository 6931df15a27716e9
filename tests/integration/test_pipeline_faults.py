"""The guarantee under faults that come two at a time, or from inside the process."""

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aio_pika
import msgspec
import pytest
from msgspec.structs import replace

from connectors.api import ChannelConfig, Receipt
from connectors.errors import Busy
from dedup import groupcommit
from dedup.api import Take
from dedup.embedded import EmbeddedDeduplicator
from gateway.blobs import BlobStore
from gateway.broker.api import Publication
from gateway.drain import Drain
from gateway.gate import Gate
from gateway.intake import Intake
from gateway.pipeline import Pipeline
from gateway.quarantine import Quarantine
from gateway.spool import Spool, SpoolItem
from gateway.supervisor import Supervisor
from gateway.tickets import Ticket
from normalizer.codecs.declarative import DeclarativeCodec
from normalizer.codecs.declarative_options import Receive
from normalizer.codecs.telegram import TelegramCodec
from tests.rig import QUEUE, Rig, empty_queue, rig
from tests.servers.gateway import telegram_headers, telegram_update


def numbers(found: list[dict]) -> list[str]:
    return [params["message"]["provider_id"] for params in found]


def unmarked(found: list[dict]) -> Counter:
    return Counter(params["message"]["provider_id"] for params in found if not params["dedup"]["redelivery"])


def through(vhost_url: str, server_port: int, proxy_port: int) -> str:
    return vhost_url.replace(f":{server_port}", f":{proxy_port}")


def intake(it: Rig, pipeline: Pipeline, *, deadline: float, **changes) -> Intake:
    parts = {
        "ref": it.channel,
        "codec": TelegramCodec(),
        "config": ChannelConfig(ack_deadline_secs=deadline),
        "window_secs": 3600,
        "pipeline": pipeline,
        "quarantine": it.quarantine,
        "blobs": BlobStore(it.spool._path.parent),
        "gate": Gate(10_000),
    }
    return Intake(**(parts | changes))


@asynccontextmanager
async def supervised(it: Rig, *, lease: float = 30.0) -> AsyncIterator[Pipeline]:
    """A second pipeline on the parts of a rig, kept alive as in the gateway."""
    pipeline = Pipeline(
        dedup=it.dedup, broker=it.broker, spool=it.spool, journal=it.journal, lease_secs=lease, clock=time.time
    )
    async with asyncio.TaskGroup() as group:
        supervisor = Supervisor(group, first=0.05)
        supervisor.start("pipeline", pipeline.run)
        try:
            yield pipeline
        finally:
            await supervisor.stop_all()


async def insistently(deliver: Intake, raw, within: float = 6) -> Receipt:
    """Deliver as a provider does: again until it is taken."""
    async with asyncio.timeout(within):
        while True:
            with suppress(Busy):
                return await deliver(raw)
            await asyncio.sleep(0.05)


async def busy(delivery: Awaitable[Receipt]) -> Receipt | None:
    """Return None instead of raising `Busy`."""
    try:
        return await delivery
    except Busy:
        return None


async def embedded_queue(it: Rig) -> list[dict]:
    """Take everything out of a queue of the embedded broker."""
    found = []
    async with it.broker.consume(QUEUE, prefetch=1000) as consumer:
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                async for delivery in consumer:
                    found.append(msgspec.json.decode(delivery.body)["params"])
                    await consumer.ack(delivery)
    return found


# One bad thing harms only itself.


async def test_a_message_that_is_too_large_for_rabbitmq_harms_only_itself(tmp_path, rabbit_server):
    rabbit_server.evaluate("application:set_env(rabbit, max_message_size, 60000)")
    vhost = rabbit_server.add_vhost(f"large-{tmp_path.name}")
    try:
        async with rig(tmp_path, broker_url=vhost) as it:
            large = msgspec.json.encode(telegram_update(50, chat=50, text="x" * 100_000))
            async with asyncio.TaskGroup() as group:  # one batch
                for n in range(20):
                    group.create_task(it.give(n, chat=n))
                group.create_task(it.give(50, body=large))
                for n in range(100, 120):
                    group.create_task(it.give(n, chat=n))
            await it.until(lambda: it.spool.stats().rows <= 1, 20)  # the large one may stay for the operator

            copies = Counter(numbers(await empty_queue(vhost)))
    finally:
        rabbit_server.evaluate("application:set_env(rabbit, max_message_size, 134217728)")
        rabbit_server.delete_vhost(f"large-{tmp_path.name}")

    good = {str(n) for n in (*range(20), *range(100, 120))}
    assert good <= set(copies), f"{len(good - set(copies))} never arrive"
    assert max(copies.values()) <= 4, f"{max(copies.values())} copies of one message"


async def test_an_event_that_cannot_be_written_as_json_harms_only_itself(tmp_path):
    async with rig(tmp_path, drain=False) as it, supervised(it, lease=1.0) as pipeline:
        deliver = intake(it, pipeline, deadline=1.0)
        (odd,) = it.intake._codec.decode(it.raw(50, chat=50))
        odd = replace(odd, params=replace(odd.params, metadata={"x": {"y": object()}}))
        async with asyncio.TaskGroup() as group:
            before = [group.create_task(insistently(deliver, it.raw(n, chat=n))) for n in range(5)]
            await asyncio.sleep(0)
            pipeline.submit([Ticket(odd, deliver.meters, None, 60)])
            after = [group.create_task(insistently(deliver, it.raw(n, chat=n))) for n in range(5, 10)]

        assert {task.result() for task in (*before, *after)} == {Receipt.ACCEPTED}


async def test_a_spool_folder_that_goes_away_for_a_moment_leaves_nothing_stuck(tmp_path):
    folder = tmp_path / "data"
    async with (
        rig(folder, broker_url="amqp://guest:guest@127.0.0.1:1/", drain=False, wait=False) as it,
        supervised(it) as pipeline,
    ):
        deliver = intake(it, pipeline, deadline=0.5)
        folder.rename(tmp_path / "elsewhere")
        with suppress(Busy):
            await deliver(it.raw(1))
        shutil.rmtree(folder, ignore_errors=True)  # the journal has made it anew
        (tmp_path / "elsewhere").rename(folder)

        assert await insistently(deliver, it.raw(1)) is Receipt.ACCEPTED
        assert await insistently(deliver, it.raw(2)) is Receipt.ACCEPTED
        await it.until(lambda: pipeline.idle, 2)


async def test_a_spooled_row_nobody_can_read_does_not_stop_the_others(tmp_path):
    async with rig(tmp_path, drain=False, wait=False) as it:
        for n in range(3):
            await it.give(n, chat=n)
        with sqlite3.connect(tmp_path / "spool.db") as db:
            db.execute("UPDATE body SET publication = x'00' WHERE id = 1")
        db.close()
        assert await it.broker.wait_ready(10)
        async with asyncio.TaskGroup() as group:
            supervisor = Supervisor(group, first=0.05)
            supervisor.start("drain", Drain(it.spool, it.broker, it.journal, hold_secs=1, clock=time.time).run)
            await asyncio.sleep(1.5)
            await supervisor.stop_all()

        assert set(numbers(await embedded_queue(it))) == {"1", "2"}


async def test_a_bad_item_that_finds_no_room_in_quarantine_does_not_keep_back_the_good_ones(tmp_path):
    async with rig(tmp_path) as it:
        tight = Quarantine(tmp_path / "tight.db", max_bytes=1)
        tight.open()
        codec = DeclarativeCodec(Receive(each="@", id="id", sender="from", text="text"), None)
        deliver = intake(it, it.pipeline, deadline=5, codec=codec, quarantine=tight)
        body = msgspec.json.encode([{"from": "a", "text": "no id"}, {"id": "1", "from": "a", "text": "good"}])
        with pytest.raises(Busy):
            await deliver(replace(it.raw(0), body=body))
        tight.close()

        assert numbers(await embedded_queue(it)) == ["1"]


# Waiters and receipts.


async def test_a_delivery_is_answered_by_its_deadline_also_while_the_pipeline_is_down(tmp_path):
    async with rig(tmp_path) as it:
        down = Pipeline(
            dedup=it.dedup, broker=it.broker, spool=it.spool, journal=it.journal, lease_secs=30, clock=time.time
        )
        with pytest.raises(Busy):
            async with asyncio.timeout(3):
                await intake(it, down, deadline=0.3)(it.raw(1))


async def test_a_delivery_with_many_bad_items_is_accepted_in_time(tmp_path):
    async with rig(tmp_path) as it:
        codec = DeclarativeCodec(Receive(each="@", id="id", sender="from", text="text"), None)
        deliver = intake(it, it.pipeline, deadline=8, codec=codec)
        bad = [{"from": "a", "text": f"no id {n}"} for n in range(999)]
        body = msgspec.json.encode([*bad, {"id": "1", "from": "a"}])

        assert await deliver(replace(it.raw(0), body=body)) is Receipt.ACCEPTED


async def test_a_redriven_delivery_of_which_nothing_is_left_counts_as_done(tmp_path):
    async with rig(tmp_path) as it:
        body = msgspec.json.encode(
            {
                "update_id": 1,
                "message_reaction": {
                    "chat": {"id": 1, "type": "private"},
                    "message_id": 1,
                    "date": 1_700_000_000,
                    "user": {"id": 1, "is_bot": False, "first_name": "A"},
                    "old_reaction": [],
                    "new_reaction": [],
                },
            }
        )
        assert await it.give(0, body=body) is Receipt.IGNORED

        assert await intake(it, it.pipeline, deadline=0.3).redrive(it.raw(0, body=body)) is None


async def test_a_delivery_does_not_share_the_deadline_of_an_earlier_one_of_the_same_event(tmp_path):
    async with rig(tmp_path) as it:
        other = EmbeddedDeduplicator(tmp_path / "dedup.db")  # a worker that died with the claim
        await other.open()
        (event,) = it.intake._codec.decode(it.raw(1))
        await other.exchange([Take(event.key, "", "", 0, 60)], lease=1.5)
        async with asyncio.TaskGroup() as group:
            hasty = group.create_task(busy(intake(it, it.pipeline, deadline=0.3)(it.raw(1))))
            await asyncio.sleep(0.1)
            patient = group.create_task(busy(intake(it, it.pipeline, deadline=8)(it.raw(1))))
        await other.close()

        assert hasty.result() is None
        assert patient.result() is not None


# Held rows.


async def test_held_rows_stay_held_under_steady_traffic(tmp_path, rabbit_server, make_proxy):
    proxy = await make_proxy(rabbit_server.port)
    vhost = rabbit_server.add_vhost(f"held-{tmp_path.name}")
    url = through(vhost, rabbit_server.port, proxy.port)
    async with rig(tmp_path, broker_url=url, publish_timeout=0.3, lease=1.2) as it:
        await it.give(0, chat=1000)
        proxy.stall()
        async with asyncio.TaskGroup() as group:
            for n in range(1, 80):  # four seconds, more than three leases
                group.create_task(it.give(n, chat=n))
                await asyncio.sleep(0.05)
        proxy.resume()
        await it.until(lambda: it.spool.empty and it.pipeline.idle, 20)
        await asyncio.sleep(0.5)

        found = await empty_queue(vhost)
        books = {name: it.count(name) for name in ("received", "published", "spooled", "duplicate")}
    rabbit_server.delete_vhost(f"held-{tmp_path.name}")
    assert books == {"received": 80, "published": 80, "spooled": 0, "duplicate": 0}
    assert Counter(numbers(found)) == {str(n): 1 for n in range(80)}


async def test_a_late_confirm_is_not_forgotten_when_the_spool_cannot_be_written_for_a_moment(
    tmp_path, rabbit_server, make_proxy, monkeypatch
):
    monkeypatch.setattr(groupcommit, "BUSY_SECS", 0.3)
    proxy = await make_proxy(rabbit_server.port)
    vhost = rabbit_server.add_vhost(f"late-{tmp_path.name}")
    url = through(vhost, rabbit_server.port, proxy.port)
    async with (
        rig(tmp_path, broker_url=url, publish_timeout=0.3, drain=False) as it,
        supervised(it, lease=1.5) as pipeline,
    ):
        deliver = intake(it, pipeline, deadline=5)
        await deliver(it.raw(0, chat=1000))
        proxy.stall()
        assert await deliver(it.raw(1)) is Receipt.ACCEPTED
        other = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        proxy.resume()
        await asyncio.sleep(0.8)
        other.execute("ROLLBACK")
        other.close()
        async with asyncio.TaskGroup() as group:
            drain = group.create_task(Drain(it.spool, it.broker, it.journal, hold_secs=1, clock=time.time).run())
            await it.until(lambda: it.spool.empty, 10)
            drain.cancel()
        found = await empty_queue(vhost)
    rabbit_server.delete_vhost(f"late-{tmp_path.name}")
    assert Counter(numbers(found)) == {"0": 1, "1": 1}


async def test_a_late_confirm_ends_a_claim_whose_message_found_no_room_in_the_spool(
    tmp_path, rabbit_server, make_proxy
):
    proxy = await make_proxy(rabbit_server.port)
    vhost = rabbit_server.add_vhost(f"room-{tmp_path.name}")
    url = through(vhost, rabbit_server.port, proxy.port)
    async with rig(tmp_path, broker_url=url, publish_timeout=0.3, lease=1.0, spool_bytes=1) as it:
        await it.give(0, chat=1000)
        proxy.stall()
        with pytest.raises(Busy):
            await it.give(1)
        proxy.resume()
        await insistently(it.intake, it.raw(1))

        found = await empty_queue(vhost)
    rabbit_server.delete_vhost(f"room-{tmp_path.name}")
    assert Counter(numbers(found)) == {"0": 1, "1": 1}


# Copies.


async def test_a_queue_that_refuses_does_not_fill_the_others_with_unmarked_copies(tmp_path, rabbit_url):
    async with rig(tmp_path, broker_url=rabbit_url) as it:
        connection = await aio_pika.connect(rabbit_url)
        async with connection:
            channel = await connection.channel()
            limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
            full = await channel.declare_queue("full", durable=True, arguments=limits)
            await full.bind("gw.events", "#")
            await it.give(0, chat=1)
            await it.give(1, chat=2)
            await asyncio.sleep(4)  # the drain tries again after one second, after two …

        copies = await empty_queue(rabbit_url)
    assert max(unmarked(copies).values()) == 1, unmarked(copies)


async def test_stopping_while_the_spool_drains_doubles_nothing(tmp_path):
    async with rig(tmp_path, drain=False, wait=False) as it:
        async with asyncio.TaskGroup() as group:
            for n in range(50):
                group.create_task(it.give(n, chat=n))
        assert await it.broker.wait_ready(10)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(Drain(it.spool, it.broker, it.journal, hold_secs=1, clock=time.time).run())
            while not it.broker._outbox.backlog:
                await asyncio.sleep(0)
            first.cancel()
        await it.until(lambda: not it.broker._outbox.backlog)
        async with asyncio.TaskGroup() as group:
            second = group.create_task(Drain(it.spool, it.broker, it.journal, hold_secs=1, clock=time.time).run())
            await it.until(lambda: it.spool.empty, 10)
            second.cancel()

        assert Counter(numbers(await embedded_queue(it))) == {str(n): 1 for n in range(50)}


# Order.


async def test_a_message_does_not_overtake_an_earlier_one_whose_outcome_is_open(tmp_path, rabbit_server, make_proxy):
    proxy = await make_proxy(rabbit_server.port)
    vhost = rabbit_server.add_vhost(f"order-{tmp_path.name}")
    url = through(vhost, rabbit_server.port, proxy.port)
    try:
        async with rig(tmp_path, broker_url=url, publish_timeout=5) as it:
            await it.give(0, chat=1000)
            proxy.stall()
            async with asyncio.TaskGroup() as group:
                group.create_task(it.give(1, chat=1000))  # what makes RabbitMQ tell that it blocks
                await asyncio.sleep(0.1)
                group.create_task(it.give(2, chat=7))
                await asyncio.sleep(0.1)
                rabbit_server.set_alarm(True)
                proxy.resume()
                await it.until(lambda: not it.broker.ready)
                third = group.create_task(it.give(3, chat=7))
                await asyncio.sleep(0.3)
                proxy.reset()
            assert third.result() is Receipt.ACCEPTED
            rabbit_server.set_alarm(False)
            await it.until(lambda: it.spool.empty and it.broker.ready, 30)
            found = [params for params in await empty_queue(vhost) if params["conversation"]["provider_id"] == "7"]
    finally:
        rabbit_server.set_alarm(False)
        rabbit_server.delete_vhost(f"order-{tmp_path.name}")
    assert numbers(found)[-2:] == ["2", "3"]


# The ledger, and what the gateway itself tells.


async def test_events_of_the_gateway_itself_leave_the_ledger_alone_also_through_the_spool(tmp_path):
    async with rig(tmp_path, wait=False, drain=False) as it:
        assert await it.give(0, body=b"{") is Receipt.QUARANTINED
        await it.until(lambda: it.pipeline.idle and not it.spool.empty)
        draining = asyncio.create_task(it.drain.run())
        await it.until(lambda: it.spool.empty)
        await asyncio.sleep(0.1)
        draining.cancel()

        assert (it.count("received"), it.count("quarantined")) == (1, 1)
        assert (it.count("published"), it.count("spooled")) == (0, 0)


async def test_events_of_the_gateway_itself_leave_the_ledger_alone_when_their_confirm_comes_late(
    tmp_path, rabbit_server, make_proxy
):
    proxy = await make_proxy(rabbit_server.port)
    vhost = rabbit_server.add_vhost(f"own-{tmp_path.name}")
    async with rig(
        tmp_path, broker_url=through(vhost, rabbit_server.port, proxy.port), publish_timeout=0.2, drain=False
    ) as it:
        await it.give(0)
        proxy.stall()
        assert await it.give(1, body=b"{") is Receipt.QUARANTINED
        await it.until(lambda: not it.spool.empty, 5)
        proxy.resume()
        await it.until(lambda: it.spool.empty, 5)

        assert (it.count("published"), it.count("spooled")) == (1, 0)
    rabbit_server.delete_vhost(f"own-{tmp_path.name}")


async def test_two_nodes_tell_of_their_quarantine_rows_both(tmp_path, rabbit_url, redis_url):
    async with (
        rig(tmp_path / "a", broker_url=rabbit_url, redis_url=redis_url, channel="nodes") as one,
        rig(tmp_path / "b", broker_url=rabbit_url, redis_url=redis_url, channel="nodes") as two,
    ):
        await one.give(0, body=b'{"a"')
        await two.give(0, body=b'{"b"')
        await one.until(lambda: one.pipeline.idle and two.pipeline.idle)
        await asyncio.sleep(0.2)

    assert len(await empty_queue(rabbit_url)) == 2


async def test_the_same_bad_bytes_after_they_were_discarded_are_told_again(tmp_path):
    async with rig(tmp_path) as it:
        await it.give(0, body=b"{")
        await it.until(lambda: it.pipeline.idle)
        await it.quarantine.discard(None)
        await it.give(0, body=b"{")
        await it.until(lambda: it.pipeline.idle)

        assert len(await embedded_queue(it)) == 2


async def test_a_new_primary_does_not_count_the_rows_of_living_workers_again(make_gateway):
    gateway = make_gateway(workers=2, broker="amqp://guest:guest@127.0.0.1:1/")
    for n in range(5):
        body = msgspec.json.encode(telegram_update(n, chat=n))
        status, _ = await asyncio.to_thread(gateway.post, "/c/tg", body, telegram_headers())
        assert status == 200
    children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
    primary = min(map(int, children))
    os.kill(primary, signal.SIGKILL)
    await asyncio.sleep(1)
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(gateway.ready):
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)

    metrics = await asyncio.to_thread(gateway.metrics)
    assert metrics["gateway_spool_rows"] == 5
    assert sum(value for key, value in metrics.items() if key.startswith("gateway_spooled_messages")) == 5


async def test_rabbitmq_without_a_limit_on_frames_is_published_to(tmp_path, rabbit_server):
    rabbit_server.evaluate("application:set_env(rabbit, frame_max, 0)")
    vhost = rabbit_server.add_vhost(f"frames-{tmp_path.name}")
    try:
        async with rig(tmp_path, broker_url=vhost) as it:
            assert await it.give(0) is Receipt.ACCEPTED
            assert it.count("published") == 1
    finally:
        rabbit_server.evaluate("application:set_env(rabbit, frame_max, 131072)")
        rabbit_server.delete_vhost(f"frames-{tmp_path.name}")


async def test_a_row_held_when_the_clock_was_ahead_is_given_out_after_it_was_set_right(tmp_path):
    now = [1_000_000.0]
    spool = Spool(tmp_path / "spool.db", max_bytes=50_000_000, clock=lambda: now[0])
    spool.open()
    item = Publication(routing_key="a", body=b"{}", message_id="evt_1", method="m", timestamp=1, headers={})
    await spool.put([SpoolItem(item, "tg", "c", hold_secs=30)])
    now[0] -= 7200
    spool.close()
    spool.open()
    now[0] += 60
    rows = await spool.take(10)
    spool.close()
    assert len(rows) == 1
