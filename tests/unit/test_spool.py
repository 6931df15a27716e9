"""The local spool: order, holds, limits, several owners. Files are real, time is moved by hand."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.broker.api import Publication
from gateway.spool import Row, Spool, SpoolFull, SpoolItem
from tests.clocks import Clock

Open = Callable[..., Spool]


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Open]:
    """Open the spool once more, as another worker process would."""
    with ExitStack() as stack:

        def open_one(*, max_bytes: int = 100_000_000, reserve_bytes: int = 0) -> Spool:
            spool = Spool(tmp_path / "data" / "spool.db", max_bytes=max_bytes, clock=clock, reserve_bytes=reserve_bytes)
            spool.open()
            stack.callback(spool.close)
            return spool

        yield open_one


@pytest.fixture
def spool(opened: Open) -> Spool:
    return opened()


def item(name: str, conversation: str = "", *, body: bytes = b"{}", **options: float) -> SpoolItem:
    publication = Publication(
        routing_key="v1.telegram.tg.message.received",
        body=body,
        message_id=name,
        method="message.received",
        timestamp=1,
        headers={"channel_type": "telegram", "seq": 2**53},
    )
    return SpoolItem(publication, "tg", conversation, **options)  # type: ignore[arg-type]


def names(rows: list[Row]) -> list[str]:
    return [row.publication.message_id for row in rows]


async def test_rows_come_back_as_they_were_and_in_order(spool: Spool) -> None:
    original = item("a", "c", body=b"\x00\xff")
    original.publication.expiration_ms = 5
    ids = await spool.put([original, item("b", "c"), item("c")])

    rows = await spool.take(10)

    assert [row.id for row in rows] == ids == sorted(ids)
    assert names(rows) == ["a", "b", "c"]
    first = rows[0].publication
    assert [getattr(first, name) for name in first.__struct_fields__] == [
        getattr(original.publication, name) for name in first.__struct_fields__
    ]
    assert (rows[0].channel, rows[0].conversation, rows[0].attempts, rows[0].possibly_sent) == ("tg", "c", 0, False)


async def test_rows_survive_a_restart(opened: Open) -> None:
    spool = opened()
    await spool.put([item("a")])
    spool.close()

    assert names(await opened().take(10)) == ["a"]


async def test_removed_rows_are_gone_and_their_ids_never_return(spool: Spool) -> None:
    first = await spool.put([item("a"), item("b")])
    await spool.remove(first)

    assert await spool.take(10) == []
    assert spool.empty
    assert min(await spool.put([item("c")])) > max(first)


async def test_taken_row_is_not_given_out_twice(opened: Open) -> None:
    mine, other = opened(), opened()
    await mine.put([item(name) for name in "abc"])

    assert names(await mine.take(2)) == ["a", "b"]
    assert names(await other.take(2)) == ["c"]
    assert await mine.take(2) == []


async def test_row_whose_taker_died_is_given_out_again_as_possibly_sent(spool: Spool, clock: Clock) -> None:
    await spool.put([item("a")])
    await spool.take(1, lease_secs=10)
    clock.now += 11

    (row,) = await spool.take(1)

    assert row.possibly_sent


async def test_held_row_blocks_its_conversation_and_no_other(spool: Spool, clock: Clock) -> None:
    await spool.put([item("a1", "a", hold_secs=30), item("a2", "a"), item("b1", "b"), item("x"), item("a3", "a")])

    assert names(await spool.take(10)) == ["b1", "x"]
    clock.now += 31
    rows = await spool.take(10)
    assert [(row.publication.message_id, row.possibly_sent) for row in rows if row.conversation == "a"] == [
        ("a1", True),
        ("a2", False),
        ("a3", False),
    ]


async def test_rows_before_a_held_one_are_given_out(spool: Spool) -> None:
    await spool.put([item("1", "a"), item("2", "a", hold_secs=30), item("3", "a")])

    assert names(await spool.take(10)) == ["1"]


async def test_rows_without_conversation_do_not_wait_for_each_other(spool: Spool) -> None:
    await spool.put([item("a", hold_secs=30), item("b")])

    assert names(await spool.take(10)) == ["b"]


async def test_hold_is_renewed(spool: Spool, clock: Clock) -> None:
    ids = await spool.put([item("a", "c", hold_secs=10)])
    clock.now += 9
    await spool.hold(ids, 10)
    clock.now += 9

    assert await spool.take(10) == []


@pytest.mark.parametrize("possibly_sent", [True, False])
async def test_lifted_hold_frees_the_conversation(spool: Spool, *, possibly_sent: bool) -> None:
    ids = await spool.put([item("a1", "a", hold_secs=10), item("a2", "a")])
    await spool.unhold(ids[:1], possibly_sent=possibly_sent)

    rows = await spool.take(10)

    assert [(row.publication.message_id, row.possibly_sent) for row in rows] == [("a1", possibly_sent), ("a2", False)]


async def test_row_that_may_have_been_sent_stays_marked_after_a_refusal(spool: Spool, clock: Clock) -> None:
    await spool.put([item("a", redelivery=True)])
    (row,) = await spool.take(1)
    await spool.retry_later([row.id])
    clock.now += 60

    (again,) = await spool.take(1)

    assert (again.possibly_sent, again.attempts) == (True, 1)


async def test_refused_row_comes_back_unmarked_after_a_growing_time(spool: Spool, clock: Clock) -> None:
    await spool.put([item("a")])
    waits = []
    for _ in range(8):
        (row,) = await spool.take(1)
        assert not row.possibly_sent
        await spool.retry_later([row.id])
        (listed,) = await spool.list_rows()
        waits.append(listed.blocked_secs)
        clock.now += listed.blocked_secs

    assert waits == pytest.approx([1, 2, 4, 8, 16, 30, 30, 30], abs=1e-3)


async def test_row_without_an_outcome_comes_back_marked(spool: Spool, clock: Clock) -> None:
    await spool.put([item("a")])
    (row,) = await spool.take(1)
    await spool.retry_later([row.id], possibly_sent=True)
    clock.now += 2

    assert (await spool.take(1))[0].possibly_sent


async def test_waiting_names_the_conversations_with_rows(spool: Spool) -> None:
    assert spool.waiting({"a", "b", ""}) == set()
    ids = await spool.put([item("1", "a"), item("2", "b", hold_secs=9), item("3")])

    assert spool.waiting({"a", "b", "c", ""}) == {"a", "b"}
    await spool.remove(ids[:1])
    assert spool.waiting(["a", "b"]) == {"b"}
    await spool.remove(ids)
    assert spool.waiting(["a", "b"]) == set()


async def test_waiting_notices_what_others_write(opened: Open) -> None:
    mine, other = opened(), opened()
    assert mine.waiting(["a"]) == set()
    ids = await other.put([item("1", "a")])

    assert mine.waiting(["a"]) == {"a"}
    await other.remove(ids)
    assert mine.waiting(["a"]) == set()


async def test_full_spool_takes_nothing_of_a_batch_and_still_drains(opened: Open) -> None:
    spool = opened(max_bytes=200_000)
    kept = 0
    with pytest.raises(SpoolFull, match="200000 bytes"):  # noqa: PT012 -- until it is full
        while True:
            await spool.put([item(f"{kept}", body=bytes(1000)), item("second", body=bytes(9000))])
            kept += 1

    assert spool.stats().rows == 2 * kept > 4
    assert spool.stats().bytes <= 200_000
    with pytest.raises(SpoolFull):
        await spool.put([item("small"), item("large", body=bytes(1_000_000))])
    assert spool.stats().rows == 2 * kept
    taken = await spool.take(1000)
    assert len(taken) == 2 * kept
    await spool.remove([row.id for row in taken])
    await spool.put([item("room again", body=bytes(9000))])


async def test_spool_leaves_room_on_the_disk(opened: Open) -> None:
    spool = opened(reserve_bytes=2**60)

    with pytest.raises(SpoolFull, match="make room"):
        await spool.put([item("a")])


async def test_stats_and_list_say_what_is_there(spool: Spool, clock: Clock) -> None:
    assert (spool.stats().rows, spool.stats().oldest_age_secs) == (0, 0)
    await spool.put([item("a"), item("b", "c", hold_secs=5)])
    clock.now += 3
    await spool.put([item("c")])

    stats = spool.stats()
    assert (stats.rows, stats.oldest_age_secs) == (3, 3)
    assert stats.bytes > 0
    assert await spool.take_stock() == {("tg", "telegram"): 3}
    assert names(await spool.list_rows(2, 1)) == ["b", "c"]
    assert [row.blocked_secs for row in await spool.list_rows()] == pytest.approx([0, 2, 0], abs=1e-3)


async def test_dropped_rows_are_counted_once(opened: Open) -> None:
    gateway, command = opened(), opened()
    ids = await gateway.put([item(name) for name in "abcd"])

    assert names(await command.drop([ids[0], 999_999])) == ["a"]
    assert names(await command.drop(ids)) == ["b", "c", "d"]
    assert await command.drop(ids) == []

    assert gateway.empty
    assert await gateway.take_dropped() == {("tg", "telegram"): 4}
    assert await gateway.take_dropped() == {}


async def test_row_that_is_with_the_broker_is_not_dropped(spool: Spool, clock: Clock) -> None:
    ids = await spool.put([item("held", hold_secs=30), item("taken"), item("refused"), item("waits")])
    await spool.retry_later([row.id for row in await spool.take(2) if row.publication.message_id == "refused"])

    assert names(await spool.drop(ids)) == ["refused", "waits"]
    clock.now += 31
    assert names(await spool.drop(ids)) == ["held", "taken"]


async def test_ledger_begins_without_what_was_dropped_before(spool: Spool) -> None:
    ids = await spool.put([item("a"), item("b")])
    await spool.drop(ids[:1])

    assert await spool.take_stock() == {("tg", "telegram"): 1}
    assert await spool.take_dropped() == {}


async def test_rows_are_found_by_event_and_by_channel(spool: Spool) -> None:
    other = SpoolItem(item("evt_1").publication, "shop", "")
    ids = await spool.put([item("evt_1"), item("evt_11"), item("x", body=b"evt_1"), other])

    assert [row.id for row in spool.find("evt_1")] == [ids[0], ids[3]]
    assert spool.channels() == dict(zip(ids, ["tg", "tg", "tg", "shop"], strict=True))
    assert spool.channels(ids[2:], "tg") == {ids[2]: "tg"}
    assert [row.id for row in await spool.list_rows(channel="shop")] == [ids[3]]


async def test_replay_ends_the_back_off_and_takes_nothing_from_the_broker(spool: Spool) -> None:
    ids = await spool.put([item("a"), item("b"), item("held", hold_secs=60)])
    await spool.take(2)
    await spool.retry_later(ids[:2])
    assert await spool.replay([ids[0], ids[2]]) == 1
    assert await spool.replay(None) == 1

    rows = await spool.take(10)

    assert [(row.publication.message_id, row.possibly_sent) for row in rows] == [("a", False), ("b", False)]


async def test_removing_tells_which_rows_were_still_there(spool: Spool) -> None:
    first, second = await spool.put([item("a"), item("b")])

    assert await spool.remove([first]) == {first}
    assert await spool.remove([first, second, 999]) == {second}


async def test_lost_row_comes_back_soon_marked_and_alone_and_in_turn_with_the_others(
    spool: Spool, clock: Clock
) -> None:
    await spool.put([item("a1", "a"), item("b", "b")])
    await spool.lost([row.id for row in await spool.take(10)], others_pass=True)
    await spool.put([item("a2", "a"), item("x"), item("y")])
    clock.now += 0.3

    taken = [names(await spool.take(10)) for _ in range(4)]

    assert sorted(map(sorted, taken)) == [[], ["a1"], ["b"], ["x", "y"]]  # a2 waits for a1
    assert [row.publication.message_id for row in await spool.list_rows() if not row.possibly_sent] == ["a2"]


async def lose(spool: Spool, clock: Clock, times: int, *, others_pass: bool = True) -> None:
    for _ in range(times):
        rows = await spool.take(1)
        await spool.lost([row.id for row in rows], others_pass=others_pass)
        clock.now += 31


async def test_row_under_which_the_connection_always_dies_is_parked_and_lets_its_conversation_go_on(
    spool: Spool, clock: Clock
) -> None:
    await spool.put([item("deadly", "c")])
    await lose(spool, clock, 6)
    await spool.put([item("next", "c")])

    assert names(await spool.take(10)) == ["next"]
    assert await spool.take(10) == []
    clock.now += 3600
    assert "deadly" in names(await spool.take(1)) + names(await spool.take(1))


async def test_row_is_not_parked_while_nothing_else_passes_either(spool: Spool, clock: Clock) -> None:
    await spool.put([item("a"), item("b")])
    await lose(spool, clock, 6, others_pass=False)

    assert [row.blocked_secs < 60 for row in await spool.list_rows()] == [True, True]


async def test_replay_gives_a_parked_row_its_tries_again(spool: Spool, clock: Clock) -> None:
    ids = await spool.put([item("deadly")])
    await lose(spool, clock, 6)
    assert await spool.replay(ids) == 1
    await lose(spool, clock, 1)

    assert names(await spool.take(1)) == ["deadly"]


async def test_unreadable_row_is_listed_and_dropped_and_hides_no_other(
    spool: Spool, tmp_path: Path, clock: Clock
) -> None:
    bad, _ = await spool.put([item("a", "c"), item("b", "c")])
    with sqlite3.connect(tmp_path / "data" / "spool.db") as db:
        db.execute("UPDATE body SET publication = x'00' WHERE id = ?", (bad,))
    db.close()

    assert names(await spool.take(10)) == ["b"]
    assert names(await spool.list_rows()) == ["", "b"]
    assert names(spool.find("b")) == ["b"]
    clock.now += 60
    assert [row.id for row in await spool.drop([bad])] == [bad]


async def test_row_blocked_by_a_clock_that_was_ahead_is_given_out(spool: Spool, clock: Clock) -> None:
    await spool.put([item("a1", "a", hold_secs=30), item("a2", "a")])
    clock.now -= 7200

    assert names(await spool.take(10)) == ["a1", "a2"]


async def test_nothing_is_done_for_nothing(spool: Spool) -> None:
    await spool.remove([])
    await spool.hold([], 5)
    await spool.unhold([])
    await spool.retry_later([])
    assert await spool.put([]) == []


async def test_unwritable_spool_says_so(opened: Open) -> None:
    spool = opened()
    spool.close()

    with pytest.raises(SpoolFull, match="cannot be written"):
        await spool.put([item("a")])


def test_default_clock_outlives_the_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.db", max_bytes=1)
    assert abs(spool._clock() - time.time()) < 60
