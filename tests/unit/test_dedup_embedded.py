"""What only the embedded dedup store does; what both do is in `tests/contract`."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dedup.api import Claim, DedupUnavailable, Done, Take
from dedup.embedded import CONVERSATION_SECS, SWEEP_ROWS, EmbeddedDeduplicator
from tests.clocks import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dedup.db"


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[EmbeddedDeduplicator]:
    store = EmbeddedDeduplicator(path, timeout=0.5, clock=clock)
    await store.open()
    yield store
    await store.close()


def count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return sum(
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("event", "conversation", "answer")
        )
    finally:
        connection.close()


async def claim(store: EmbeddedDeduplicator, *keys: str, keep: float = 60) -> list[Claim]:
    takes = [Take(key, f"c{key}", "", 0, keep) for key in keys]
    return [answer.claim for answer in await store.exchange(takes, lease=30)]


async def test_expired_rows_are_swept_while_new_ones_are_written(
    store: EmbeddedDeduplicator, path: Path, clock: Clock
) -> None:
    for start in range(0, 3000, 100):
        await claim(store, *(f"{n:05}" for n in range(start, start + 100)))
    await store.exchange([], [Done(f"{n:05}", 60) for n in range(3000)], lease=30)
    await store.remember("r", b"", keep=60)
    assert count(path) == 6001
    clock.now += CONVERSATION_SECS + 1

    for start in range(0, 1500, 100):
        await claim(store, *(f"new{n:05}" for n in range(start, start + 100)))

    assert count(path) == 3000


async def test_sweep_looks_at_a_bounded_number_of_rows(store: EmbeddedDeduplicator, path: Path, clock: Clock) -> None:
    await claim(store, *(f"{n:05}" for n in range(2 * SWEEP_ROWS)))
    clock.now += CONVERSATION_SECS + 1
    before = count(path)

    await claim(store, *(f"new{n:05}" for n in range(300)))

    assert before + 600 - count(path) == 2 * SWEEP_ROWS  # of events and of conversations


async def test_claims_survive_a_restart(store: EmbeddedDeduplicator, path: Path, clock: Clock) -> None:
    await claim(store, "held", "done")
    await store.exchange([], [Done("done", 60)], lease=30)
    await store.close()
    again = EmbeddedDeduplicator(path, clock=clock)
    await again.open()

    assert await claim(again, "held", "done") == [Claim.IN_FLIGHT, Claim.DUPLICATE]
    await again.close()


async def test_damaged_file_is_named_with_what_to_do(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)

    with pytest.raises(DedupUnavailable, match=r"dedup\.db.*move it away"):
        await EmbeddedDeduplicator(path).open()


async def test_file_that_is_locked_for_long_counts_as_away(store: EmbeddedDeduplicator, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DedupUnavailable, match=r"within 0\.5 s"):
        await claim(store, "k")
    other.execute("ROLLBACK")
    other.close()

    assert await claim(store, "other") == [Claim.NEW]


async def test_closed_store_is_unavailable(store: EmbeddedDeduplicator) -> None:
    await store.close()

    with pytest.raises(DedupUnavailable, match="closed"):
        await claim(store, "k")
    with pytest.raises(DedupUnavailable, match="closed"):
        await store.status("k")
