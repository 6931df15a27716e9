"""One contract, two stores."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from dedup.api import Claim, Deduplicator, Done, Take, Taken
from dedup.embedded import EmbeddedDeduplicator
from dedup.redis import RedisDeduplicator

NEW, IN_FLIGHT, DUPLICATE = Claim.NEW, Claim.IN_FLIGHT, Claim.DUPLICATE


class Make(Protocol):
    def __call__(self) -> Awaitable[Deduplicator]: ...


@pytest.fixture(params=["redis", "embedded"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Make opened instances (owners) of one store."""
    factory: Callable[[], Deduplicator]
    if request.param == "redis":
        url, prefix = request.getfixturevalue("redis_url"), uuid.uuid4().hex + ":"

        def factory() -> Deduplicator:
            return RedisDeduplicator(url, timeout=5, prefix=prefix)
    else:

        def factory() -> Deduplicator:
            return EmbeddedDeduplicator(tmp_path / "dedup.db")

    async with AsyncExitStack() as stack:

        async def made() -> Deduplicator:
            store = factory()
            await store.open()
            stack.push_async_callback(store.close)
            return store

        yield made


@pytest.fixture
async def store(make: Make) -> Deduplicator:
    return await make()


def take(key: str, conversation: str = "", *, address: str = "", now_us: int = 0, keep: float = 60) -> Take:
    return Take(key, conversation, address, now_us, keep)


async def one(store: Deduplicator, key: str, *, lease: float = 30, **options: Any) -> Taken:
    (answer,) = await store.exchange([take(key, **options)], lease=lease)
    return answer


async def until(store: Deduplicator, key: str, claim: Claim, **options: Any) -> Taken:
    """Ask until the answer is `claim`."""
    async with asyncio.timeout(10):
        while (answer := await one(store, key, **options)).claim is not claim:
            await asyncio.sleep(0.005)
    return answer


async def test_unknown_event_is_new_and_then_in_flight(store: Deduplicator) -> None:
    assert (await one(store, "k")).claim is NEW
    assert await one(store, "k") == Taken(IN_FLIGHT)
    assert await store.status("k") == "claimed"


async def test_committed_event_is_a_duplicate(store: Deduplicator) -> None:
    await one(store, "k")
    assert await store.exchange([], [Done("k", 60)], lease=30) == []

    assert await one(store, "k") == Taken(DUPLICATE)
    assert await store.status("k") == "done"


async def test_event_nobody_claimed_can_be_committed(store: Deduplicator) -> None:
    await store.exchange([], [Done("k", 60)], lease=30)

    assert (await one(store, "k")).claim is DUPLICATE


async def test_released_event_is_new_again(store: Deduplicator) -> None:
    await one(store, "k")
    await store.exchange([], released=["k"], lease=30)

    assert await store.status("k") is None
    assert await one(store, "k") == Taken(NEW)


async def test_release_by_another_owner_does_nothing(make: Make) -> None:
    holder, stranger = await make(), await make()
    await one(holder, "k")

    await stranger.exchange([], released=["k", "unknown"], lease=30)

    assert (await one(stranger, "k")).claim is IN_FLIGHT


async def test_release_of_a_committed_event_does_nothing(store: Deduplicator) -> None:
    await one(store, "k")
    await store.exchange([], [Done("k", 60)], ["k"], lease=30)

    assert (await one(store, "k")).claim is DUPLICATE


async def test_commit_by_another_owner_counts(make: Make) -> None:
    holder, other = await make(), await make()
    await one(holder, "k")
    await other.exchange([], [Done("k", 60)], lease=30)
    await holder.exchange([], released=["k"], lease=30)

    assert (await one(holder, "k")).claim is DUPLICATE


async def test_commit_and_release_precede_the_claims_of_their_batch(store: Deduplicator) -> None:
    await store.exchange([take("a"), take("b")], lease=30)

    answers = await store.exchange([take("a"), take("b")], [Done("a", 60)], ["b"], lease=30)

    assert [answer.claim for answer in answers] == [DUPLICATE, NEW]


async def test_abandoned_claim_is_taken_again_as_a_redelivery(make: Make) -> None:
    dead, heir = await make(), await make()
    await one(dead, "k", lease=0.02)

    assert (await until(heir, "k", NEW, lease=0.02)).redelivery == 1
    assert (await until(heir, "k", NEW)).redelivery == 2
    assert (await one(heir, "k")).claim is IN_FLIGHT


async def test_lease_longer_than_the_window_is_remembered_when_it_ran_out(store: Deduplicator) -> None:
    await one(store, "k", lease=0.03, keep=30)

    assert (await until(store, "k", NEW, keep=0.001)).redelivery == 1


async def test_late_release_of_a_taken_over_claim_does_nothing(make: Make) -> None:
    slow, heir = await make(), await make()
    await one(slow, "k", lease=0.02)
    await until(heir, "k", NEW)

    await slow.exchange([], released=["k"], lease=30)

    assert (await one(slow, "k")).claim is IN_FLIGHT


async def test_release_does_not_forget_earlier_attempts_of_unknown_outcome(make: Make) -> None:
    dead, heir = await make(), await make()
    await one(dead, "k", lease=0.02)
    await until(heir, "k", NEW)
    await heir.exchange([], released=["k"], lease=30)

    assert await heir.status("k") is None
    assert await one(heir, "k") == Taken(NEW, redelivery=1)


async def test_event_is_new_when_its_window_is_over(store: Deduplicator) -> None:
    await store.exchange([], [Done("k", 0.02)], lease=30)

    assert (await until(store, "k", NEW)).redelivery == 0


async def test_commit_without_a_window_is_no_error(store: Deduplicator) -> None:
    await store.exchange([], [Done("k", 0)], lease=30)

    await until(store, "k", NEW, keep=0)


async def test_same_key_twice_in_a_batch_is_new_then_in_flight(store: Deduplicator) -> None:
    answers = await store.exchange([take("k", "c"), take("other", "c"), take("k", "c")], lease=30)

    assert [answer.claim for answer in answers] == [NEW, NEW, IN_FLIGHT]


async def test_owners_racing_for_the_same_keys_get_each_key_once(make: Make) -> None:
    owners = [await make() for _ in range(4)]
    keys = [f"k{n}" for n in range(50)]
    answers: list[list[Taken]] = []

    async def race(owner: Deduplicator, order: int) -> None:
        mine = keys if order % 2 else keys[::-1]
        for at in range(0, len(mine), 10):
            batch = [take(key, "c", now_us=1) for key in mine[at : at + 10]]
            answers.extend([await owner.exchange(batch, lease=30)])

    async with asyncio.TaskGroup() as group:
        for order, owner in enumerate(owners):
            group.create_task(race(owner, order))

    new = [answer for batch in answers for answer in batch if answer.claim is NEW]
    assert len(new) == len(keys)
    assert sorted(answer.seq for answer in new) == list(range(1, len(keys) + 1))


async def test_seq_rises_across_owners_even_when_a_clock_is_behind(make: Make) -> None:
    ahead, behind = await make(), await make()
    now = time.time_ns() // 1000

    seqs = [
        (await one(ahead, "1", conversation="c", now_us=now)).seq,
        (await one(behind, "2", conversation="c", now_us=now - 5_000_000)).seq,
        (await one(ahead, "3", conversation="c", now_us=now)).seq,
        (await one(behind, "4", conversation="c", now_us=now + 7)).seq,
        (await one(behind, "5", conversation="d", now_us=now)).seq,
    ]

    assert seqs == [now, now + 1, now + 2, now + 7, now]


@pytest.mark.parametrize("now_us", [2**53 - 64, 1_800_000_000_000_001, 999_999_999_999_999])
async def test_seq_is_exact_in_a_crowded_microsecond(store: Deduplicator, now_us: int) -> None:
    answers = await store.exchange([take(str(n), "c", now_us=now_us) for n in range(20)], lease=30)

    assert [answer.seq for answer in answers] == [now_us + n for n in range(20)]
    assert (await one(store, "last", conversation="c", now_us=now_us)).seq == now_us + 20


async def test_only_new_events_of_a_conversation_get_a_seq(store: Deduplicator) -> None:
    answers = await store.exchange([take("a", "c", now_us=5), take("a", "c", now_us=9), take("b", now_us=7)], lease=30)

    assert [answer.seq for answer in answers] == [5, 0, 0]
    assert (await one(store, "d", conversation="c", now_us=0)).seq == 6


async def test_conversation_remembers_its_latest_address(store: Deduplicator) -> None:
    assert await store.address_of("c") is None
    await one(store, "1", conversation="c", address="old")
    await one(store, "2", conversation="c", address="Ünïcode 😀\nwith spaces ")
    await one(store, "3", conversation="c")
    await one(store, "3", conversation="c", address="of a repetition")
    await one(store, "4", conversation="silent")

    assert await store.address_of("c") == "Ünïcode 😀\nwith spaces "
    assert await store.address_of("silent") is None


async def test_text_that_is_not_unicode_costs_nobody_the_check(store: Deduplicator) -> None:
    batch = [take("good", "c"), take("bad", "\udc80", address="\ud800")]

    assert [answer.claim for answer in await store.exchange(batch, lease=30)] == [NEW, NEW]
    assert [answer.claim for answer in await store.exchange(batch, lease=30)] == [IN_FLIGHT, IN_FLIGHT]


async def test_answers_of_requests_are_remembered_for_their_time(store: Deduplicator) -> None:
    assert await store.recall("r") is None
    await store.remember("r", b"\x00\xff answer", keep=60)
    await store.remember("r", b"\x00\xff again", keep=60)
    await store.remember("short", b"x", keep=0.01)

    assert await store.recall("r") == b"\x00\xff again"
    async with asyncio.timeout(10):
        while await store.recall("short") is not None:
            await asyncio.sleep(0.005)


async def test_value_without_an_end_stays(store: Deduplicator) -> None:
    await store.remember("cursor", b"17", keep=None)
    assert await store.recall("cursor") == b"17"


async def test_value_is_swapped_only_for_the_expected_one(store: Deduplicator) -> None:
    assert not await store.swap("k", b"", b"x", keep=60)  # an empty value is not the same as none
    assert await store.swap("k", None, b"", keep=60)
    assert not await store.swap("k", None, b"x", keep=60)
    assert await store.swap("k", b"", b"\x00\xff", keep=None)
    assert not await store.swap("k", b"", b"y", keep=None)
    assert await store.recall("k") == b"\x00\xff"
    assert await store.swap("k", b"\x00\xff", None, keep=None)
    assert await store.recall("k") is None


async def test_value_that_ran_out_is_none_to_swap(store: Deduplicator) -> None:
    assert await store.swap("k", None, b"mine", keep=0.01)
    async with asyncio.timeout(5):
        while not await store.swap("k", None, b"yours", keep=60):
            await asyncio.sleep(0.005)
    assert await store.recall("k") == b"yours"


async def test_only_one_of_many_owners_swaps(make: Make) -> None:
    owners = [await make() for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        swaps = [group.create_task(owner.swap("lease", None, b"%d" % n, keep=60)) for n, owner in enumerate(owners)]
    winners = [n for n, swap in enumerate(swaps) if swap.result()]
    assert len(winners) == 1
    assert await owners[0].recall("lease") == b"%d" % winners[0]


async def test_batch_of_thousands(store: Deduplicator) -> None:
    batch = [take(f"k{n}", f"c{n % 100}", now_us=10) for n in range(2500)]

    assert [answer.seq for answer in await store.exchange(batch, lease=30)] == [10 + n // 100 for n in range(2500)]
    again = await store.exchange(batch, [Done(item.key, 60) for item in batch[:1000]], lease=30)
    assert [answer.claim for answer in again] == [DUPLICATE] * 1000 + [IN_FLIGHT] * 1500


async def test_empty_exchange_answers_nothing(store: Deduplicator) -> None:
    assert await store.exchange([], lease=30) == []
