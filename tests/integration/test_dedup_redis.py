"""What becomes of claims when Redis dies, hangs, forgets or refuses."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from dedup.api import Claim, DedupUnavailable, Done, Take, Taken
from dedup.redis import RedisDeduplicator
from tests.servers.process import free_port
from tests.servers.proxy import TcpProxy
from tests.servers.redis import RedisServer

TIMEOUT = 0.5


class Clock:
    """Moved by hand: the breaker opens and closes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def opened(
    url: str, clock: Callable[[], float] | None = None, *, timeout: float = TIMEOUT
) -> AsyncIterator[RedisDeduplicator]:
    store = RedisDeduplicator(url, timeout=timeout, prefix=uuid.uuid4().hex, clock=clock or time.monotonic)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def administrator(server: RedisServer) -> AsyncIterator[Redis]:
    client = Redis.from_url(server.url, protocol=2)
    try:
        yield client
    finally:
        await client.aclose()


def take(key: str, conversation: str = "", now_us: int = 0) -> Take:
    return Take(key, conversation, "", now_us, 60)


async def claim(store: RedisDeduplicator, key: str, **options: int | str) -> Taken:
    (answer,) = await store.exchange([take(key, **options)], lease=30)  # type: ignore[arg-type]
    return answer


async def refused(store: RedisDeduplicator) -> float:
    """Expect no answer; return the seconds it took to learn."""
    started = time.monotonic()
    with pytest.raises(DedupUnavailable):
        await claim(store, "refused")
    return time.monotonic() - started


@pytest.fixture(scope="module")
def server(make_redis: Callable[[], RedisServer]) -> RedisServer:
    return make_redis()


async def test_open_does_not_fail_without_a_server() -> None:
    async with opened(f"redis://127.0.0.1:{free_port()}/0") as store:
        with pytest.raises(DedupUnavailable, match="Redis is away"):
            await store.exchange([take("k")], lease=30)


async def test_killed_server_is_reported_and_used_again_after_its_restart(server: RedisServer) -> None:
    clock = Clock()
    async with opened(server.url, clock) as store:
        await store.exchange([take("done"), take("held", "c", 50)], lease=30)
        await store.exchange([], [Done("done", 60)], lease=30)
        server.kill()

        assert await refused(store) < TIMEOUT + 0.5
        server.restart()
        assert await refused(store) < 0.1  # the breaker is still open
        clock.now += 2

        assert (await claim(store, "done")).claim is Claim.DUPLICATE
        assert (await claim(store, "held")).claim is Claim.IN_FLIGHT
        assert (await claim(store, "new", conversation="c")).seq == 51


async def test_hanging_server_costs_one_timeout_and_then_nothing(server: RedisServer) -> None:
    clock = Clock()
    async with opened(server.url, clock) as store:
        server.pause()
        try:
            assert TIMEOUT * 0.9 < await refused(store) < TIMEOUT + 0.5
            for _ in range(100):
                assert await refused(store) < 0.1
        finally:
            server.resume()
        clock.now += 2

        assert (await claim(store, "k")).claim is Claim.NEW


async def test_only_one_call_at_a_time_tries_a_store_that_was_away(server: RedisServer) -> None:
    clock = Clock()
    async with opened(server.url, clock) as store:
        server.pause()
        try:
            await refused(store)
            clock.now += 2
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(refused(store)) for _ in range(20)]
        finally:
            server.resume()

        assert sum(call.result() > TIMEOUT / 2 for call in calls) == 1


async def test_hanging_connection_attempt_is_within_the_timeout() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, opened(f"redis://:secret@127.0.0.1:{port}/3", Clock(), timeout=0.2) as store:
        started = time.monotonic()
        with pytest.raises(DedupUnavailable) as caught:
            await store.recall("k")

        assert time.monotonic() - started < 0.2 + 0.5
        assert "secret" not in str(caught.value)


async def test_cut_connection_is_replaced(
    server: RedisServer, make_proxy: Callable[[int], Awaitable[TcpProxy]]
) -> None:
    proxy, clock = await make_proxy(server.port), Clock()
    async with opened(f"redis://127.0.0.1:{proxy.port}/0", clock) as store:
        await store.exchange([take("k")], [Done("d", 60)], lease=30)
        proxy.cut()
        await refused(store)
        proxy.resume()
        clock.now += 2

        answers = await store.exchange([take("k"), take("d"), take("n")], lease=30)
        assert [answer.claim for answer in answers] == [Claim.IN_FLIGHT, Claim.DUPLICATE, Claim.NEW]


async def test_connection_that_was_closed_while_idle_costs_nothing(
    server: RedisServer, make_proxy: Callable[[int], Awaitable[TcpProxy]]
) -> None:
    proxy = await make_proxy(server.port)
    async with opened(f"redis://127.0.0.1:{proxy.port}/0") as store:
        await claim(store, "k")
        proxy.reset()
        await asyncio.sleep(0.05)

        assert (await claim(store, "k")).claim is Claim.IN_FLIGHT


async def test_forgotten_script_is_loaded_again(server: RedisServer) -> None:
    async with opened(server.url) as store, administrator(server) as admin:
        await claim(store, "k")
        await admin.script_flush()

        assert (await claim(store, "k")).claim is Claim.IN_FLIGHT
        assert (await claim(store, "l")).claim is Claim.NEW


async def test_seq_goes_on_rising_when_the_store_lost_its_data(server: RedisServer) -> None:
    async with opened(server.url) as store, administrator(server) as admin:
        before = time.time_ns() // 1000
        first = await claim(store, "1", conversation="c", now_us=before)
        await admin.flushall()

        second = await claim(store, "2", conversation="c", now_us=before + 1)
        assert second.seq > first.seq


async def test_server_that_refuses_to_write_counts_as_away(server: RedisServer) -> None:
    clock = Clock()
    async with opened(server.url, clock) as store, administrator(server) as admin:
        await admin.config_set("maxmemory", 1)
        try:
            with pytest.raises(DedupUnavailable, match="maxmemory"):
                await claim(store, "k")
        finally:
            await admin.config_set("maxmemory", 0)
        clock.now += 2

        assert (await claim(store, "k")).claim is Claim.NEW


async def test_every_key_expires(server: RedisServer) -> None:
    async with opened(server.url) as store, administrator(server) as admin:
        await admin.flushall()
        await store.exchange([take("a", "c"), take("b", "c")], [Done("d", 60)], lease=0.001)
        await asyncio.sleep(0.01)
        await store.exchange([take("a")], lease=30)
        await store.exchange([], released=["a"], lease=30)
        await store.remember("r", b"", keep=60)

        keys = await admin.keys("*")
        assert len(keys) == 5
        assert all([0 < await admin.pttl(key) <= 90 * 86_400_000 for key in keys])


async def test_cancelled_exchange_leaves_no_answer_behind_for_the_next(server: RedisServer) -> None:
    async with opened(server.url) as store:
        for n in range(20):
            call = asyncio.ensure_future(claim(store, f"cancelled{n}", conversation="c", now_us=1))
            await asyncio.sleep(0.0002 * n)
            call.cancel()
            await asyncio.wait([call])

            assert (await claim(store, f"k{n}", conversation=f"own{n}", now_us=1000 + n)).seq == 1000 + n


async def test_a_store_that_answered_in_time_is_not_away_because_this_process_was_kept_from_running(redis_url):
    async with opened(redis_url) as store:
        await store.exchange([Take("before", "", "", 0, 60)], lease=30)
        call = asyncio.create_task(store.exchange([Take("while", "", "", 0, 60)], lease=30))
        await asyncio.sleep(0)  # it is sent
        time.sleep(TIMEOUT * 1.5)  # nothing of this process runs

        assert [taken.claim for taken in await call] == [Claim.NEW]
