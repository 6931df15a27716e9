"""One contract, two stores of feeds."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dedup.feeds import Feeds
from dedup.feeds_embedded import EmbeddedFeeds
from dedup.feeds_redis import RedisFeeds
from tests.clocks import Clock

MOST = 300


Make = Callable[[], Feeds]


@pytest.fixture(params=["redis", "embedded"])
async def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Make]:
    """Make running instances of one store, as several processes have them."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    prefix = uuid.uuid4().hex + ":"
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks: list[asyncio.Task[None]] = []

        def made() -> Feeds:
            store: Feeds = (
                RedisFeeds(url, timeout=5, prefix=prefix, most=MOST, clock=clock)
                if url
                else EmbeddedFeeds(tmp_path / "feeds.db", most=MOST, clock=clock)
            )
            tasks.append(group.create_task(store.run()))
            stack.push_async_callback(store.close)
            return store

        yield made
        for task in tasks:
            task.cancel()


@pytest.fixture
def feeds(make: Make) -> Feeds:
    return make()


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._news = asyncio.Event()

    def __call__(self, body: bytes) -> None:
        self.heard.append(body)
        self._news.set()

    async def until(self, body: bytes) -> None:
        async with asyncio.timeout(10):
            while body not in self.heard:
                self._news.clear()
                await self._news.wait()


async def bodies(feeds: Feeds, feed: str = "f", seq: int = 0) -> list[bytes]:
    return [entry.body for entry in await feeds.after(feed, seq, limit=1000)]


async def test_entries_come_back_in_order_with_rising_numbers(feeds: Feeds) -> None:
    seqs = [(await feeds.append("f", f"u{n}", b"%d" % n, keep=60))[0] for n in range(5)]
    found = await feeds.after("f", 0, limit=10)
    assert [entry.seq for entry in found] == seqs == sorted(set(seqs))
    assert [(entry.uid, entry.body) for entry in found] == [(f"u{n}", b"%d" % n) for n in range(5)]


async def test_the_number_is_a_time_so_that_it_rises_after_the_store_lost_everything(
    feeds: Feeds, clock: Clock
) -> None:
    seq, _ = await feeds.append("f", "u", b"x", keep=60)
    assert seq == 1_800_000_000_000_000
    clock.now -= 100  # a node whose clock is behind
    assert (await feeds.append("f", "v", b"y", keep=60))[0] == seq + 1


async def test_the_same_uid_is_the_same_entry(feeds: Feeds) -> None:
    seq, fresh = await feeds.append("f", "u", b"first", keep=60)
    assert fresh
    assert await feeds.append("f", "u", b"second", keep=60) == (seq, False)
    assert await bodies(feeds) == [b"first"]
    assert (await feeds.append("g", "u", b"elsewhere", keep=60))[1]


async def test_an_entry_is_found_by_its_uid(feeds: Feeds) -> None:
    await feeds.append("f", "other", b"1", keep=60)
    seq, _ = await feeds.append("f", "u", b"2", keep=60)
    found = await feeds.find("f", "u")
    assert found is not None
    assert (found.seq, found.uid, found.body) == (seq, "u", b"2")
    assert await feeds.find("f", "unknown") is None
    assert await feeds.find("g", "u") is None


async def test_reading_goes_on_behind_a_number_and_back_before_one(feeds: Feeds) -> None:
    seqs = [(await feeds.append("f", f"u{n}", b"%d" % n, keep=60))[0] for n in range(6)]
    assert [entry.seq for entry in await feeds.after("f", seqs[1], limit=2)] == seqs[2:4]
    assert [entry.seq for entry in await feeds.before("f", seqs[4], limit=2)] == [seqs[3], seqs[2]]
    assert [entry.seq for entry in await feeds.before("f", None, limit=2)] == [seqs[5], seqs[4]]
    assert await feeds.before("f", 0, limit=2) == []
    assert await feeds.after("f", seqs[-1], limit=2) == []


async def test_what_has_expired_is_not_read_and_its_uid_is_free(feeds: Feeds, clock: Clock) -> None:
    await feeds.append("f", "old", b"old", keep=0.2)
    await feeds.append("f", "young", b"young", keep=60)
    clock.now += 1
    await asyncio.sleep(0.25)  # for Redis, which has its own clock
    assert await bodies(feeds) == [b"young"]
    assert [entry.body for entry in await feeds.before("f", None, limit=5)] == [b"young"]
    assert await feeds.find("f", "old") is None
    assert (await feeds.append("f", "old", b"again", keep=60))[1]
    assert await bodies(feeds) == [b"young", b"again"]


async def test_entries_that_expired_do_not_hide_those_behind_them(feeds: Feeds, clock: Clock) -> None:
    for n in range(5):
        await feeds.append("f", f"old{n}", b"old", keep=10)
    await feeds.append("f", "young", b"young", keep=60)
    clock.now += 20
    assert [entry.body for entry in await feeds.after("f", 0, limit=2)] == [b"young"]


async def test_a_feed_keeps_the_youngest_of_too_many_entries(feeds: Feeds) -> None:
    for start in range(0, 1000, 100):
        async with asyncio.TaskGroup() as group:
            for n in range(start, start + 100):
                group.create_task(feeds.append("f", f"u{n}", b"%d" % n, keep=60))
    found = await bodies(feeds)
    assert MOST <= len(found) < 1000
    assert found[-1] == b"999"


async def test_bodies_and_names_may_hold_any_bytes_and_letters(feeds: Feeds) -> None:
    body, feed = bytes(range(256)), "w:ö 语\n"
    await feeds.append(feed, "ü:1", body, keep=60)
    assert await bodies(feeds, feed) == [body]
    assert await feeds.find(feed, "ü:1") is not None


async def test_another_process_hears_of_an_entry(make: Make) -> None:
    here, there, ear = make(), make(), Ear()
    there.listen("f", ear)
    await ear.until(b"")
    ear.heard.clear()
    await here.append("g", "u", b"not for it", keep=60)
    await here.append("f", "u", b"for it", keep=60)
    await ear.until(b"")
    assert await bodies(there) == [b"for it"]


async def test_a_signal_is_heard_everywhere_and_kept_nowhere(make: Make) -> None:
    here, there = make(), make()
    ears = Ear(), Ear()
    for store, ear in zip((here, there), ears, strict=True):
        store.listen("f", ear)
        await ear.until(b"")
    await here.signal("f", b"typing")
    for ear in ears:
        await ear.until(b"typing")
    assert [ear.heard.count(b"typing") for ear in ears] == [1, 1]
    assert await bodies(there) == []


async def test_who_has_stopped_listening_hears_nothing_and_others_do(make: Make) -> None:
    here, there = make(), make()
    first, second = Ear(), Ear()
    end = there.listen("f", first)
    there.listen("f", second)
    await first.until(b"")
    end()
    end()
    first.heard.clear()
    await here.signal("f", b"now")
    await second.until(b"now")
    assert first.heard == []


async def test_listening_again_hears_again(make: Make) -> None:
    here, there = make(), make()
    end = there.listen("f", Ear())
    await asyncio.sleep(0)
    end()
    ear = Ear()
    there.listen("f", ear)
    await ear.until(b"")
    await here.signal("f", b"now")
    await ear.until(b"now")


@pytest.fixture
def names() -> list[str]:
    return [f"u{n}" for n in range(200)]


async def test_many_writers_at_once_lose_nothing_and_a_follower_sees_every_entry_in_order(
    make: Make, names: list[str]
) -> None:
    writers, reader, ear = [make(), make()], make(), Ear()
    reader.listen("f", ear)
    seen: list[str] = []

    async def follow() -> None:
        seq = 0
        while len(seen) < len(names):
            for entry in await reader.after("f", seq, limit=7):
                assert entry.seq > seq
                seq = entry.seq
                seen.append(entry.uid)
            await asyncio.sleep(0)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(follow())
        for number, name in enumerate(names):
            for writer in writers:  # both write each: the second changes nothing
                group.create_task(writer.append("f", name, b"%d" % number, keep=60))
    assert sorted(seen) == sorted(names)
