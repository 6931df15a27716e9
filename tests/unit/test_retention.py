"""Blobs with an end of their own. Files are real; only the clock is ours."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connectors.errors import Busy
from gateway.blobs import BlobStore
from gateway.retention import Retention

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def days(number: float) -> datetime:
    return NOW + timedelta(days=number)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path, clock=NOW.timestamp)


@pytest.fixture
def retention(tmp_path: Path, blobs: BlobStore) -> Iterator[Retention]:
    retention = Retention(tmp_path / "retention.db", blobs)
    retention.open()
    with closing(retention):
        yield retention


async def test_a_recording_is_deleted_at_its_end_and_the_log_says_so(blobs: BlobStore, retention: Retention) -> None:
    ref, other = await blobs.put(b"call"), await blobs.put(b"attachment")
    await retention(ref, days(30), "line")

    assert await retention.sweep(days(29).timestamp()) == 0
    assert await blobs.exists(ref)
    with capture_logs() as logs:
        assert await retention.sweep(days(30).timestamp()) == 1
    assert not await blobs.exists(ref)
    assert await blobs.exists(other)
    assert [{**line, "sha256": "…"} for line in logs] == [
        {
            "event": "recording_deleted",
            "log_level": "info",
            "sha256": "…",
            "channel": "line",
            "kept_until": days(30).isoformat(),
        }
    ]
    assert await retention.sweep(days(99).timestamp()) == 0


async def test_of_several_ends_the_latest_counts(blobs: BlobStore, retention: Retention) -> None:
    ref = await blobs.put(b"silence")
    await retention(ref, days(20), "one")
    await retention(ref, days(10), "one")
    await retention(ref, days(30), "two")

    assert await retention.sweep(days(29).timestamp()) == 0
    assert await retention.sweep(days(31).timestamp()) == 1
    assert retention.kept() == frozenset()


async def test_what_something_else_stored_as_well_is_not_deleted(blobs: BlobStore, retention: Retention) -> None:
    ref = await blobs.put(b"call")
    await retention(ref, days(1), "line")
    await blobs.put(b"call")  # the core sends it to somebody

    assert await retention.sweep(days(2).timestamp()) == 0
    assert await blobs.exists(ref)
    assert retention.kept() == frozenset()


async def test_the_age_of_blobs_does_not_shorten_a_retention(blobs: BlobStore, retention: Retention) -> None:
    kept, other = await blobs.put(b"call"), await blobs.put(b"attachment")
    await retention(kept, days(30), "line")
    for ref in (kept, other):
        os.utime(blobs._path(ref), (1, 1))

    assert await blobs.sweep(86_400, spare=retention.kept()) == 1
    assert await blobs.exists(kept)
    assert not await blobs.exists(other)


async def test_an_end_survives_the_process(tmp_path: Path, blobs: BlobStore, retention: Retention) -> None:
    ref = await blobs.put(b"call")
    await retention(ref, days(1), "line")
    again = Retention(tmp_path / "retention.db", blobs)
    again.open()

    with closing(again):
        assert await again.sweep(days(2).timestamp()) == 1
    assert not await blobs.exists(ref)


async def test_an_end_of_a_blob_that_went_otherwise_is_forgotten(blobs: BlobStore, retention: Retention) -> None:
    ref = await blobs.put(b"call")
    await retention(ref, days(1), "line")
    blobs._path(ref).unlink()

    assert await retention.sweep(days(2).timestamp()) == 0
    assert retention.kept() == frozenset()


async def test_an_end_that_cannot_be_written_is_busy(tmp_path: Path, blobs: BlobStore, retention: Retention) -> None:
    ref = await blobs.put(b"call")
    with closing(sqlite3.connect(tmp_path / "retention.db")) as db:
        db.execute("DROP TABLE kept")
        db.commit()

    with pytest.raises(Busy, match=r"retention\.db"):
        await retention(ref, days(1), "line")
