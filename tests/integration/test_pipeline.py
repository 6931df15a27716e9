"""What the inbound path promises, with the faults that could break it."""

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from connectors.api import Receipt
from connectors.errors import Busy
from dedup.api import Take
from tests.rig import empty_queue, rig
from tests.servers.rabbit import RabbitServer


def ids(found: list[dict]) -> Counter:
    return Counter(params["message"]["provider_id"] for params in found)


@pytest.fixture(params=["embedded", "redis"])
def store(request):
    return {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}


async def test_a_receipt_means_the_message_is_in_the_queue(tmp_path, rabbit_url, store):
    async with rig(tmp_path, broker_url=rabbit_url, **store) as it:
        receipts = [await it.give(n) for n in range(20)]

        found = await empty_queue(rabbit_url)

        assert receipts == [Receipt.ACCEPTED] * 20
        assert ids(found) == {str(n): 1 for n in range(20)}
        assert [params["conversation"]["seq"] for params in found] == sorted(
            params["conversation"]["seq"] for params in found
        )
        assert {params["dedup"]["state"] for params in found} == {"first"}
        assert (it.count("received"), it.count("published")) == (20, 20)


async def test_the_same_update_at_the_same_instant_is_one_message_and_every_delivery_is_answered(
    tmp_path, rabbit_url, store
):
    async with rig(tmp_path, broker_url=rabbit_url, **store) as it:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(it.give(7)) for _ in range(50)]

        receipts = Counter(task.result() for task in tasks)
        assert receipts == {Receipt.ACCEPTED: 1, Receipt.DUPLICATE: 49}
        assert ids(await empty_queue(rabbit_url)) == {"7": 1}
        assert (it.count("received"), it.count("published"), it.count("duplicate")) == (50, 1, 49)


async def test_two_workers_that_get_the_same_update_at_once_publish_it_once(tmp_path, rabbit_url, store):
    async with (
        rig(tmp_path, broker_url=rabbit_url, channel="both", **store) as one,
        rig(tmp_path, broker_url=rabbit_url, channel="both", drain=False, **store) as two,
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(worker.give(n)) for n in range(100) for worker in (one, two)]

    receipts = Counter(task.result() for task in tasks)
    assert receipts == {Receipt.ACCEPTED: 100, Receipt.DUPLICATE: 100}
    assert ids(await empty_queue(rabbit_url)) == {str(n): 1 for n in range(100)}


async def test_what_was_just_accepted_is_a_duplicate_in_every_worker_although_no_receipt_waits_for_the_commit(
    tmp_path, rabbit_url, store
):
    async with (
        rig(tmp_path, broker_url=rabbit_url, channel="twice", **store) as one,
        rig(tmp_path, broker_url=rabbit_url, channel="twice", drain=False, **store) as two,
    ):
        for n in range(30):
            assert await one.give(n) is Receipt.ACCEPTED
            assert await two.give(n) is Receipt.DUPLICATE
            assert await one.give(n) is Receipt.DUPLICATE
    assert ids(await empty_queue(rabbit_url)) == {str(n): 1 for n in range(30)}


async def test_commits_are_made_without_further_deliveries_and_before_a_pipeline_is_idle(tmp_path, rabbit_url, store):
    async with rig(tmp_path, broker_url=rabbit_url, **store) as it:
        async with asyncio.TaskGroup() as group:
            for n in range(50):
                group.create_task(it.give(n))
        await it.until(lambda: it.pipeline.idle)

        events = [next(iter(it.intake._codec.decode(it.raw(n)))) for n in range(50)]
        assert [await it.dedup.status(event.key) for event in events] == ["done"] * 50


async def give_together(it, rounds: int, clients: int = 32) -> None:
    """Deliver as providers do: the next of a connection when the last was answered."""

    async def client(first: int) -> None:
        for n in range(first, first + rounds):
            assert await it.give(n, chat=first) is Receipt.ACCEPTED

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(number * 1000))


async def test_who_goes_again_when_answered_shares_the_round_trips(tmp_path, rabbit_url, store, monkeypatch):
    monkeypatch.setattr("gateway.gathering.GATHER_SECS", 0.3)
    batches = []
    async with rig(tmp_path, broker_url=rabbit_url, **store) as it:
        exchange = it.dedup.exchange

        async def counted(takes, *arguments, **options):
            batches.append(len(takes))
            return await exchange(takes, *arguments, **options)

        monkeypatch.setattr(it.dedup, "exchange", counted)
        await give_together(it, rounds=20)
        claims = [size for size in batches if size]
    assert sum(claims) == 640
    assert len(claims) <= 30


async def test_a_batch_that_has_gone_leaves_no_timer_that_would_wake_the_process(
    tmp_path, rabbit_url, store, monkeypatch
):
    monkeypatch.setattr("gateway.gathering.GATHER_SECS", 60)
    async with rig(tmp_path, broker_url=rabbit_url, **store) as it:
        async with asyncio.timeout(30):
            await give_together(it, rounds=5)
            await it.until(lambda: it.pipeline.idle)
        assert it.pipeline._timer is None


async def test_what_gathers_is_not_sent_early_by_commits_that_it_will_take_along(
    tmp_path, rabbit_url, store, monkeypatch
):
    monkeypatch.setattr("gateway.gathering.GATHER_SECS", 30)
    monkeypatch.setattr("gateway.pipeline.RETRY_SECS", 0.2)
    async with rig(tmp_path, broker_url=rabbit_url, **store) as it:
        await give_together(it, rounds=1)
        clock = asyncio.get_running_loop().time
        for n in range(100_000, 100_004):
            before = clock()
            await it.give(n)
            if n > 100_000:  # the first came at any time between two looks at the commits
                assert clock() - before >= 0.3


async def test_who_does_not_come_again_is_waited_for_once(tmp_path, rabbit_url, store, monkeypatch):
    monkeypatch.setattr("gateway.gathering.GATHER_SECS", 0.5)
    monkeypatch.setattr("gateway.pipeline.RETRY_SECS", 60)  # commits of their own would take claims along
    async with rig(tmp_path, broker_url=rabbit_url, **store) as it:
        await give_together(it, rounds=1)
        clock = asyncio.get_running_loop().time
        times = [clock()]
        for n in range(100_000, 100_011):
            await it.give(n)
            times.append(clock())
        assert times[1] - times[0] >= 0.4
        assert times[-1] - times[1] < 10 * 0.4


async def test_what_somebody_notes_afterwards_is_known_as_a_duplicate_before_its_receipt(tmp_path, rabbit_url, store):
    async with rig(tmp_path, broker_url=rabbit_url, **store) as it:
        for n in range(20):
            raw = replace(it.raw(n), noted=True)
            (event,) = it.intake._codec.decode(raw)

            assert await it.intake(raw) is Receipt.ACCEPTED
            assert await it.dedup.status(event.key) == "done"
        (event,) = it.intake._codec.decode(it.raw(20))
        assert await it.intake.publish(event)
        assert await it.dedup.status(event.key) == "done"


async def test_what_somebody_notes_afterwards_is_accepted_while_the_store_is_away(tmp_path, rabbit_url, make_redis):
    redis = make_redis()
    async with rig(tmp_path, broker_url=rabbit_url, redis_url=redis.url) as it:
        redis.kill()

        assert await it.intake(replace(it.raw(0), noted=True)) is Receipt.ACCEPTED


async def test_a_worker_that_dies_between_receipt_and_commit_doubles_only_what_is_delivered_again_and_marks_it(
    tmp_path, rabbit_url, redis_url
):
    async with rig(tmp_path, broker_url=rabbit_url, redis_url=redis_url, channel="torn", lease=0.6) as first:
        first.pipeline._settlement.take_over = lambda: ([], [])  # what is noted to be committed never is
        assert [await first.give(n) for n in range(2)] == [Receipt.ACCEPTED] * 2
    async with rig(tmp_path, broker_url=rabbit_url, redis_url=redis_url, channel="torn") as second:
        assert await second.give(1) is Receipt.ACCEPTED  # after the lease

    found = [
        (params["message"]["provider_id"], params["dedup"]["redelivery"]) for params in await empty_queue(rabbit_url)
    ]
    assert sorted(found) == [("0", 0), ("1", 0), ("1", 1)]


async def test_without_a_broker_deliveries_are_spooled_and_leave_in_order_when_it_is_back(tmp_path, make_rabbit, store):
    server: RabbitServer = make_rabbit()
    async with rig(tmp_path, broker_url=server.url, **store) as it:
        assert await it.give(0) is Receipt.ACCEPTED
        server.settle()
        server.kill()
        await it.until(lambda: not it.broker.ready)

        assert [await it.give(n) for n in range(1, 6)] == [Receipt.ACCEPTED] * 5
        assert it.count("spooled") == 5
        assert await it.give(3) is Receipt.DUPLICATE

        server.start()
        n = 6
        while it.count("spooled"):  # new messages of the conversation arrive while it drains
            await it.give(n)
            n += 1
            await asyncio.sleep(0.01)

        found = await empty_queue(server.url)
        assert [params["message"]["provider_id"] for params in found] == [str(number) for number in range(n)]
        assert it.count("published") == n
        assert it.count("received") == n + 1


async def test_a_full_spool_refuses_and_the_retry_is_taken_once_there_is_room(tmp_path, make_rabbit):
    server: RabbitServer = make_rabbit()
    async with rig(tmp_path, broker_url=server.url, spool_bytes=1_500_000) as it:
        server.settle()
        server.kill()
        await it.until(lambda: not it.broker.ready)
        accepted, refused = 0, None
        padding = "x" * 50_000
        for n in range(200):
            body = (
                b'{"update_id":%d,"message":{"message_id":%d,"date":1700000000,"chat":{"id":1,"type":"private"},'
                b'"from":{"id":1,"is_bot":false,"first_name":"A"},"text":"%s"}}' % (n, n, padding.encode())
            )
            try:
                await it.give(n, body=body)
                accepted += 1
            except Busy:
                refused = n
                break

        assert refused is not None
        assert it.count("spooled") == accepted
        server.start()
        await it.until(lambda: not it.count("spooled"))
        assert await it.give(refused) is Receipt.ACCEPTED
        assert ids(await empty_queue(server.url)) == {str(n): 1 for n in range(refused + 1)}


async def test_without_the_dedup_store_messages_say_so_and_are_not_lost(tmp_path, rabbit_url, make_redis):
    redis = make_redis()
    async with rig(tmp_path, broker_url=rabbit_url, redis_url=redis.url) as it:
        await it.give(1)
        redis.kill()
        await it.give(2)
        assert not it.pipeline.dedup_ok
        redis.start()
        async with asyncio.timeout(20):
            while not it.pipeline.dedup_ok:
                await it.give(3)
                await asyncio.sleep(0.1)

        found = {params["message"]["provider_id"]: params["dedup"]["state"] for params in await empty_queue(rabbit_url)}
        assert (found["1"], found["2"]) == ("first", "unchecked")
        assert it.count("unchecked") >= 1


async def test_a_channel_may_refuse_instead_of_publishing_unchecked(tmp_path, rabbit_url, make_redis):
    redis = make_redis()
    async with rig(tmp_path, broker_url=rabbit_url, redis_url=redis.url, when_down="refuse") as it:
        redis.kill()

        with pytest.raises(Busy):
            await it.give(1)

        redis.start()
        async with asyncio.timeout(20):
            while True:
                try:
                    await it.give(1)
                    break
                except Busy:
                    await asyncio.sleep(0.1)
        assert ids(await empty_queue(rabbit_url)) == {"1": 1}


async def test_under_a_memory_alarm_everything_is_accepted_and_nothing_is_doubled(tmp_path, make_rabbit):
    server: RabbitServer = make_rabbit()
    async with rig(tmp_path, broker_url=server.url, publish_timeout=0.5) as it:
        await it.give(0)
        server.set_alarm(True)
        # RabbitMQ tells a connection that it is blocked only after that has published something.
        receipts = [await it.give(n, chat=n % 3) for n in range(1, 40)]
        assert set(receipts) == {Receipt.ACCEPTED}
        server.set_alarm(False)
        await it.until(lambda: not it.count("spooled"))

        found = await empty_queue(server.url)
        assert ids(found) == {str(n): 1 for n in range(40)}
        assert {params["dedup"]["redelivery"] for params in found} == {0}


async def test_a_cut_connection_loses_nothing_and_marks_what_may_be_there_twice(tmp_path, rabbit_server, make_proxy):
    proxy = await make_proxy(rabbit_server.port)
    vhost = rabbit_server.add_vhost(f"cut-{tmp_path.name}")
    through = vhost.replace(f":{rabbit_server.port}", f":{proxy.port}")
    async with rig(tmp_path, broker_url=through, publish_timeout=0.5) as it:

        async def client(start: int) -> None:
            for n in range(start, start + 150):
                assert await it.give(n, chat=start) is Receipt.ACCEPTED

        async def trouble() -> None:
            for _ in range(4):
                await asyncio.sleep(0.15)
                proxy.reset()
                await asyncio.sleep(0.3)
                proxy.stall()
                await asyncio.sleep(0.8)
                proxy.resume()

        async with asyncio.TaskGroup() as group:
            group.create_task(trouble())
            for start in range(0, 1500, 150):
                group.create_task(client(start))
        await it.until(lambda: not it.count("spooled"), 60)

        found = await empty_queue(vhost)
        assert set(ids(found)) == {str(n) for n in range(1500)}
        unmarked = ids([params for params in found if not params["dedup"]["redelivery"]])
        assert max(unmarked.values()) == 1
        events = {params["event_id"] for params in found}
        assert len(events) == 1500
        assert it.count("received") == it.count("published") == 1500
    rabbit_server.delete_vhost(f"cut-{tmp_path.name}")


async def test_one_malformed_body_is_quarantined_with_its_bytes_and_told(tmp_path, rabbit_url):
    async with rig(tmp_path, broker_url=rabbit_url) as it:
        receipt = await it.give(0, body=b'{"update_id": "not a number"}')

        assert receipt is Receipt.QUARANTINED
        (row,) = await it.quarantine.list()
        _, raw = await it.quarantine.get(row.id)
        assert raw.body == b'{"update_id": "not a number"}'
        assert it.count("quarantined") == 1
        assert await it.give(0, body=b'{"update_id": "not a number"}') is Receipt.QUARANTINED
        assert [row.times for row in await it.quarantine.list()] == [2]
        assert (it.count("received"), it.count("duplicate")) == (2, 1)


async def test_a_claim_left_by_a_dead_worker_is_taken_over_and_the_message_marked(tmp_path, rabbit_url, redis_url):
    async with rig(tmp_path, broker_url=rabbit_url, redis_url=redis_url, channel="dead", drain=False) as first:
        # The worker dies between the claim and the publish: claimed, nothing else.
        event = next(iter(first.intake._codec.decode(first.raw(5))))
        await first.dedup.exchange([Take(event.key, "", "", 0, 60)], lease=0.6)
        async with rig(tmp_path, broker_url=rabbit_url, redis_url=redis_url, channel="dead") as second:
            assert await second.give(5) is Receipt.ACCEPTED  # waits for the lease, then takes over

    (params,) = await empty_queue(rabbit_url)
    assert params["dedup"]["redelivery"] == 1


async def test_what_the_gateway_itself_tells_stands_in_no_ledger_even_when_it_is_spooled(tmp_path, make_rabbit):
    server: RabbitServer = make_rabbit()
    async with rig(tmp_path, broker_url=server.url) as it:
        server.settle()
        server.kill()
        await it.until(lambda: not it.broker.ready)
        await it.give(0, body=b"not JSON")  # quarantined, and told with an event of its own
        await it.until(lambda: it.spool.stats().rows == 1)
        server.start()
        await it.until(lambda: it.spool.stats().rows == 0)

        assert (it.count("received"), it.count("quarantined")) == (1, 1)
        assert (it.count("published"), it.count("spooled")) == (0, 0)
